"""The page says the truth, stands alone, and lets no file name become code."""

import base64
import hashlib
import json
import re
from dataclasses import replace

from mover_ray.report.page import render, table_data
from tests.report.made_page import HOSTILE, content, lines, page


def script_of(text, attributes=""):
    (found,) = re.findall(rf"<script{attributes}>(.*?)</script>", text, re.DOTALL)
    return found


def test_hostile_names_stay_text():
    text = page()
    assert text.count("<script") == 2
    assert "alert(1)</script>" not in text
    data = json.loads(script_of(text, ' type="application/json" id="data"'))
    assert data["folders"][data["folder"][0]] + data["name"][0] == f"s3://archive/{HOSTILE}"
    assert "/results/&lt;run&gt;" in text


def test_the_page_fetches_nothing_and_its_policy_allows_its_own_script_alone():
    text = page()
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)
    digest = hashlib.sha256(script_of(text).encode()).digest()
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0]
    assert f"script-src &#39;sha256-{base64.b64encode(digest).decode()}&#39;" in policy
    assert "default-src &#39;none&#39;" in policy


def test_what_is_incomplete_or_untrained_is_said_first():
    plain = page()
    assert "Untrained model" not in plain
    assert "complete: one row for each" in plain
    made = content()
    made.summary.untrained = 2
    text = render(replace(made, success=None, expected=8))
    assert "Untrained model" in text
    assert "25.0 % of 8" in text
    assert "Not complete" in text


def test_false_alarms_are_told_or_said_to_be_unknown():
    assert "No measured threshold" in page()
    text = page(alarm_sentences=["At the threshold <1 %>"])
    assert "No measured threshold" not in text
    assert "At the threshold &lt;1 %&gt;" in text


def test_pictures_are_described_and_blurring_is_told():
    assert "Face 0 at 0.1 seconds, score 0.90, made unrecognisable" in page()
    text = page(unblurred=True)
    assert "made unrecognisable" not in text
    assert "biometric data" in text


def test_a_page_without_cards_and_without_videos():
    made = content(cards=[])
    assert "most suspicious videos</h2>" not in render(made)
    assert 'id="table"' in render(replace(made, lines=[]))


def test_the_table_writes_folders_once():
    data = table_data(lines(400))
    assert len(data["folders"]) <= 200
    assert len(data["score"]) == len(data["folder"]) == 400
    assert data["video_id"][0] == str(2**62)
    assert data["score"][-1] is None
