"""Names of downloads."""

import pytest

from infra.apps.gateway.file_names import disposition, readable_name

CID = "1a2b3c4d" + "0" * 56


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("A red fox trots.", "a-red-fox-trots-1a2b3c4d.mp4"),
        ("", "1a2b3c4d.mp4"),
        ('../../etc/passwd; rm -rf "~"', "etc-passwd-rm-rf-1a2b3c4d.mp4"),
        ("line\nbreak\u202e\x00", "line-break-1a2b3c4d.mp4"),
        ("Straße 7, ÉTÉ", "straße-7-été-1a2b3c4d.mp4"),
        ("เสือวิ่ง น้ำตก", "เสือวิ่ง-น้ำตก-1a2b3c4d.mp4"),
        ("🦊 fox", "fox-1a2b3c4d.mp4"),
    ],
)
def test_a_name_has_the_words_of_the_brief_and_no_other_mark(prompt: str, expected: str) -> None:
    assert readable_name(prompt, f"{CID}.mp4") == expected


def test_long_words_and_long_briefs_are_cut() -> None:
    words = readable_name("word " * 100, f"{CID}.mp4")
    assert words == "-".join(["word"] * 12) + "-1a2b3c4d.mp4"
    assert readable_name("ก" * 500, f"{CID}-contact.jpg") == "ก" * 60 + "-1a2b3c4d-contact.jpg"
    assert len(readable_name("ก" * 500, f"{CID}-contact.jpg").encode()) < 255


def test_a_header_has_only_ascii_and_the_whole_name() -> None:
    assert disposition("fox.mp4", attachment=True) == 'attachment; filename="fox.mp4"'
    header = disposition("เสือ-fox-1a2b3c4d.mp4", attachment=False)
    assert header == (
        'inline; filename="fox-1a2b3c4d.mp4"; '
        "filename*=UTF-8''%E0%B9%80%E0%B8%AA%E0%B8%B7%E0%B8%AD-fox-1a2b3c4d.mp4"
    )
