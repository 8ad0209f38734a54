"""A film's sound is exact to the sample, in time with its pictures, and does not click."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipelines.backends.base import Sound
from pipelines.errors import MediaError
from pipelines.media.sound import (
    CUT_FADE,
    ChunkSound,
    film_sound,
    part_of,
    read_sound,
    resample,
    samples_of,
    write_sound,
)
from tests.media.sounds import pitch, silence, tone


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 2), (44_100, 1), (16_000, 2)])
def test_a_chunks_sound_is_kept_without_loss(tmp_path: Path, rate: int, channels: int) -> None:
    levels = np.random.default_rng(1).integers(-(1 << 23), 1 << 23, (rate, channels))
    sound = Sound((levels / (1 << 23)).astype(np.float32), rate)
    write_sound(tmp_path / "a.flac", sound, Fraction(33, 48))
    again = read_sound(tmp_path / "a.flac")
    assert again.rate == rate
    assert np.array_equal(again.samples, sound.samples[: round(rate * 33 / 48)])
    write_sound(tmp_path / "b.flac", sound, Fraction(33, 48))
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.flac").read_bytes()


def test_a_sound_that_ends_early_is_filled_with_silence_and_loud_ones_are_cut_off(
    tmp_path: Path,
) -> None:
    write_sound(tmp_path / "a.flac", Sound(np.full((100, 1), 3, np.float32), 8000), 0.5)
    samples = read_sound(tmp_path / "a.flac").samples
    assert len(samples) == 4000
    assert samples[:100].min() > 0.9999
    assert not samples[100:].any()


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.full((10, 2), np.nan, np.float32), "no finite numbers"),
        (np.zeros((10, 6), np.float32), "1 or 2 channels: mix it down"),
        (np.zeros(10, np.float32), "samples x channels"),
    ],
)
def test_a_sound_that_cannot_be_kept_is_refused_and_leaves_no_file(
    tmp_path: Path, samples: np.ndarray, message: str
) -> None:
    with pytest.raises(MediaError, match=message):
        write_sound(tmp_path / "a.flac", Sound(samples, 48_000), 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 20, 0.5, 0.98])
def test_a_damaged_sound_never_passes(tmp_path: Path, keep: float) -> None:
    write_sound(tmp_path / "a.flac", tone(440, 1), 1)
    data = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(data[: int(keep if keep >= 1 else keep * len(data))])
    with pytest.raises(MediaError, match=r"a\.flac"):
        read_sound(tmp_path / "a.flac")


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100])
def test_another_rate_keeps_pitch_and_place(rate: int) -> None:
    """Compared with the same sine sampled at 48 kHz, which a shift of one sample would miss."""
    heard = resample(tone(440, 1, rate, channels=1))
    wanted = tone(440, 1)
    assert (heard.rate, heard.samples.shape) == (48_000, (48_000, 2))
    middle = slice(2000, -2000)
    assert np.abs(heard.samples[middle] - wanted.samples[middle]).max() < 0.002


@pytest.mark.parametrize("fps", [7, 8, 12, 16, 24, 25, 30, 60])
def test_each_chunk_is_heard_while_it_is_seen(fps: int) -> None:
    lengths, pitches = (fps, 2 * fps + 1, fps - 1), (400, 1100, 2300)
    chunks = [
        ChunkSound(part_of(tone(hz, 3), fps, 0, frames), 0, frames)
        for hz, frames in zip(pitches, lengths, strict=True)
    ]
    film = film_sound(chunks, fps)
    assert film.samples.shape == (round(48_000 * (4 * fps) / fps), 2)
    position = 0
    for hz, frames in zip(pitches, lengths, strict=True):
        begin, end = samples_of(position, fps), samples_of(position + frames, fps)
        assert pitch(film.samples[begin:end]) == pytest.approx(hz, abs=3)
        assert pitch(film.samples[begin : begin + 3000]) == pytest.approx(hz, abs=30)
        assert pitch(film.samples[end - 3000 : end]) == pytest.approx(hz, abs=30)
        position += frames


def test_nothing_clicks_at_a_cut() -> None:
    """The first sound ends at its peak and the second begins at its trough: a step of 1."""
    first, second = tone(100.25, 1), tone(300, 1, phase=-np.pi / 2)
    step = abs(float(first.samples[-1, 0] - second.samples[0, 0]))
    assert step > 0.95
    film = film_sound([ChunkSound(first, 0, 16), ChunkSound(second, 0, 16)], 16).samples
    slope = 0.5 * 2 * np.pi * 300 / 48_000  # of the steeper sine
    jumps = np.abs(np.diff(film, axis=0, prepend=0, append=0))
    assert jumps.max() < 1.2 * slope
    inside = slice(CUT_FADE, 48_000 - CUT_FADE)
    assert np.array_equal(film[inside], first.samples[inside])


def test_where_pictures_dissolve_sounds_dissolve_with_constant_power() -> None:
    left, right = np.zeros((2 * 48_000, 2), np.float32), np.zeros((2 * 48_000, 2), np.float32)
    left[:, 0] = right[:, 1] = 1
    film = film_sound(
        [ChunkSound(Sound(left, 48_000), 0, 32), ChunkSound(Sound(right, 48_000), 8, 24)], 16
    ).samples
    assert len(film) == 56 * 3000
    fade = slice(24 * 3000, 32 * 3000)
    assert np.allclose((film[fade] ** 2).sum(axis=1), 1, atol=1e-3)
    assert (np.diff(film[fade, 0]) <= 0).all()
    assert film[fade.start + 12_000].tolist() == pytest.approx([0.5**0.5] * 2, abs=1e-3)
    assert (film[CUT_FADE : 24 * 3000] == [1, 0]).all()
    assert (film[32 * 3000 : -CUT_FADE] == [0, 1]).all()


def test_a_chunk_without_sound_is_silence_in_its_place() -> None:
    chunks = [
        ChunkSound(tone(440, 1), 0, 24),
        ChunkSound(None, 0, 24),
        ChunkSound(tone(880, 1), 0, 24),
    ]
    film = film_sound(chunks, 24).samples
    assert not film[48_000:96_000].any()
    assert pitch(film[:48_000]) == pytest.approx(440, abs=2)
    assert pitch(film[96_000:]) == pytest.approx(880, abs=2)


def test_only_the_part_of_a_sound_that_is_seen_is_used() -> None:
    long = Sound(np.concatenate([tone(440, 1).samples, tone(3000, 1).samples]), 48_000)
    film = film_sound([ChunkSound(long, 0, 16)], 16).samples
    assert len(film) == 48_000
    assert pitch(film[-4000:]) == pytest.approx(440, abs=20)
    assert pitch(part_of(long, 16, 16, 16).samples) == pytest.approx(3000, abs=2)


def test_a_sound_shorter_than_its_chunk_is_refused() -> None:
    with pytest.raises(MediaError, match=r"chunk 2 lasts 0\.500 s, it is heard for 1\.000 s"):
        film_sound([ChunkSound(silence(1), 0, 16), ChunkSound(silence(0.5), 0, 16)], 16)
