"""A film with sound: pictures untouched, sound in time, and checks that hold with and without."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import MediaError
from pipelines.media.codec import clip_of, clip_writer, read_frames, write_still
from pipelines.media.ffmpeg import Ffmpeg
from pipelines.media.foreign import split_sound
from pipelines.media.sound import ChunkSound, add_sound, film_sound, read_sound, write_sound
from pipelines.schema.sizes import Size
from pipelines.stitching.concat import stitch
from pipelines.stitching.pieces import CHUNK_CRF, CHUNK_SPEED, ChunkClip, pieces_of
from tests.media.sounds import hear, packets, pitch, silence, tone
from tests.support.pictures import decode, numbered_frames, read_number, timestamps, write_clip

SIZE = Size(64, 64)


@pytest.fixture(scope="module")
def silent(ffmpeg: Ffmpeg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "silent.mp4"
    return write_clip(ffmpeg, path, numbered_frames(SIZE, 36), SIZE, 36, fps=24)


@pytest.fixture(scope="module")
def heard(ffmpeg: Ffmpeg, silent: Path) -> Path:
    path = silent.with_name("heard.mp4")
    add_sound(ffmpeg, silent, tone(440, 1.5), path)
    return path


def test_sound_is_added_without_touching_the_pictures(
    ffmpeg: Ffmpeg, silent: Path, heard: Path, tmp_path: Path
) -> None:
    clip = add_sound(ffmpeg, silent, tone(440, 1.5), tmp_path / "again.mp4")
    data = heard.read_bytes()
    assert (tmp_path / "again.mp4").read_bytes() == data
    assert packets(heard) == packets(silent)
    assert timestamps(heard) == timestamps(silent)
    assert data.index(b"moov") < data.index(b"mdat")  # a browser can begin before it has it all
    assert (clip.frames, clip.duration) == (36, 1.5)
    assert clip.audio is not None
    assert (clip.audio.codec, clip.audio.rate, clip.audio.channels) == ("aac", 48_000, 2)
    assert clip.audio.seconds == pytest.approx(1.5, abs=1024 / 48_000)
    samples, begin = hear(heard)
    assert begin == 0
    assert pitch(samples[4000:68_000]) == pytest.approx(440, abs=2)
    assert np.abs(samples[4000:68_000]).max() == pytest.approx(0.5, abs=0.02)


def test_frames_and_stills_are_taken_from_a_film_with_sound(
    ffmpeg: Ffmpeg, heard: Path, tmp_path: Path
) -> None:
    frames = read_frames(ffmpeg, heard, SIZE, fps=24, frames=36)
    assert [read_number(frame) for frame in frames] == list(range(36))
    write_still(ffmpeg, heard, 13, tmp_path / "poster.jpg")
    assert read_number(decode(tmp_path / "poster.jpg")[0]) == 13


def test_a_sound_of_another_length_than_the_film_is_refused(
    ffmpeg: Ffmpeg, silent: Path, tmp_path: Path
) -> None:
    short = replace(tone(440, 1.5), samples=tone(440, 1.5).samples[1:])
    with pytest.raises(MediaError, match=r"71999 samples for 36 frames .* must have 72000"):
        add_sound(ffmpeg, silent, short, tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_sound_is_there_exactly_if_it_was_planned(silent: Path, heard: Path) -> None:
    wanted = {"frames": 36, "size": SIZE, "fps": 24}
    assert clip_of(silent, **wanted).audio is None
    assert clip_of(heard, sound=True, **wanted).audio is not None
    with pytest.raises(MediaError, match="sound True, planned were False"):
        clip_of(heard, **wanted)
    with pytest.raises(MediaError, match="sound False, planned were True"):
        clip_of(silent, sound=True, **wanted)


def remux(ffmpeg: Ffmpeg, target: Path, *arguments: object) -> Path:
    command = [ffmpeg.executable, "-v", "error", "-y", *map(str, arguments), str(target)]
    subprocess.run(command, check=True)
    return target


def test_a_sound_that_is_late_short_or_double_is_noticed(
    ffmpeg: Ffmpeg, silent: Path, heard: Path, tmp_path: Path
) -> None:
    both = ("-map", "0:v", "-map", "1:a", "-c", "copy")
    late = ("-i", silent, "-itsoffset", "0.2", "-i", heard, *both)
    short = ("-i", silent, "-t", "1.4", "-i", heard, *both)
    double = ("-i", heard, "-i", heard, "-map", "0", "-map", "1:a", "-c", "copy")
    for arguments, message in (
        (late, r"begins at 0\.1\d+ s; it must begin within"),
        (short, r"1\.4\d+ s of sound, planned were 1.5"),
        (double, "2 sounds; there may be one"),
    ):
        path = remux(ffmpeg, tmp_path / "x.mp4", *arguments)
        with pytest.raises(MediaError, match=message):
            clip_of(path, frames=36, size=SIZE, fps=24, sound=True)


def test_clips_with_and_without_sound_are_not_joined(
    ffmpeg: Ffmpeg, silent: Path, heard: Path, tmp_path: Path
) -> None:
    for clips in ([silent, heard], [heard, silent]):
        with pytest.raises(MediaError, match=r"silent\.mp4 is silent and heard\.mp4 has a sound"):
            stitch(ffmpeg, clips, tmp_path / "film.mp4", fps=24, frames=72)
    film = stitch(ffmpeg, [heard, heard], tmp_path / "film.mp4", fps=24, frames=72)
    assert film.audio is None
    assert timestamps(tmp_path / "film.mp4") == [index / 24 for index in range(72)]


@pytest.mark.parametrize("fps", [8, 16, 24])
def test_a_flash_and_a_beep_stay_together_through_joining_and_muxing(
    ffmpeg: Ffmpeg, tmp_path: Path, fps: int
) -> None:
    """Chunks 2 and 3 flash and beep at their frame `fps`; chunk 2 dissolves out of chunk 1."""
    length, blend = 2 * fps, fps // 2
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    clips, sounds = [], []
    for number, fade in enumerate((0, blend, 0), start=1):
        clip, sound = tmp_path / f"{number}.mp4", tmp_path / f"{number}.flac"
        options = {"fps": fps, "crf": CHUNK_CRF, "speed": CHUNK_SPEED, "keyframe": blend}
        with clip_writer(ffmpeg, clip, SIZE, length, **options) as write:
            for frame in range(length):
                write(white if number > 1 and frame == fps else black)
        samples = silence(2).samples
        if number > 1:
            samples[48_000:50_000] = tone(2000, 2000 / 48_000).samples
        write_sound(sound, replace(silence(2), samples=samples), 2)
        clips.append(ChunkClip(clip, length, fade, length - fade))
        sounds.append(ChunkSound(read_sound(sound), fade, length - fade))
    film, finished = tmp_path / "film.mp4", tmp_path / "finished.mp4"
    pieces = pieces_of(ffmpeg, clips, SIZE, fps, tmp_path)
    stitch(ffmpeg, pieces, film, fps=fps, frames=3 * length - blend)
    add_sound(ffmpeg, film, film_sound(sounds, fps), finished)

    shown = zip(timestamps(finished), decode(finished), strict=True)
    flashes = [time for time, frame in shown if frame.mean() > 128]
    samples, begin = hear(finished)
    loud = np.flatnonzero(np.abs(samples[:, 0]) > 0.1)
    starts = loud[np.diff(loud, prepend=-48_000) > 24_000]
    beeps = [float(begin) + start / 48_000 for start in starts]
    assert flashes == [2 + 1 - blend / fps, 4 + 1 - blend / fps]
    assert beeps == pytest.approx(flashes, abs=0.002)


def test_the_sound_of_a_clip_from_elsewhere_is_split_off(
    ffmpeg: Ffmpeg, heard: Path, silent: Path, tmp_path: Path
) -> None:
    sound = split_sound(ffmpeg, heard, tmp_path / "video.mp4")
    assert sound is not None
    assert (sound.rate, sound.samples.shape) == (48_000, (72_000, 2))
    wanted = tone(440, 1.5).samples
    assert np.abs(sound.samples[3000:-3000] - wanted[3000:-3000]).max() < 0.02
    assert [read_number(frame) for frame in decode(tmp_path / "video.mp4")] == list(range(36))
    assert clip_of(tmp_path / "video.mp4", frames=36, size=SIZE, fps=24).audio is None
    assert split_sound(ffmpeg, silent, tmp_path / "other.mp4") is None
    assert packets(tmp_path / "other.mp4") == packets(silent)


@pytest.mark.parametrize("late", ["sound", "pictures"])
def test_a_sound_that_begins_before_or_after_the_pictures_keeps_its_place(
    ffmpeg: Ffmpeg, heard: Path, silent: Path, tmp_path: Path, late: str
) -> None:
    first, second = (silent, heard) if late == "sound" else (heard, silent)
    maps = ("0:v", "1:a") if late == "sound" else ("1:v", "0:a")
    arguments = ("-i", first, "-itsoffset", "0.25", "-i", second)
    path = remux(
        ffmpeg, tmp_path / "x.mkv", *arguments, "-map", maps[0], "-map", maps[1], "-c", "copy"
    )
    sound = split_sound(ffmpeg, path, tmp_path / "video.mp4")
    assert sound is not None
    assert len(sound.samples) == pytest.approx(72_000, abs=48)
    loud = np.abs(sound.samples[:, 0]) > 0.1
    edge = int(np.argmax(loud)) if late == "sound" else len(loud) - int(np.argmax(loud[::-1]))
    assert edge == pytest.approx(12_000 if late == "sound" else 60_000, abs=1100)
