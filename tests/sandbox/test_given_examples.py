"""The examples printed in the service's public documentation run against the sandbox.

Only the address and the key are replaced. The Python example's poll URL is mended too: as printed, its f-string yields
the literal text ``{job_id}``.

Source: https://pixeldojo.ai/api-platform/kling-image, "Quick Start", "Python Example", "JavaScript Example".
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from kling_notebook.sandbox import Sandbox

CURL_SUBMIT = """\
curl -X POST "https://pixeldojo.ai/api/v1/models/kling-image/run" \\
  -H "Authorization: Bearer YOUR_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "prompt": "A beautiful mountain landscape at golden hour, photorealistic",
    "aspect_ratio": "1:1"
  }'
"""

CURL_POLL = """\
curl "https://pixeldojo.ai/api/v1/jobs/job_abc123" \\
  -H "Authorization: Bearer YOUR_API_KEY"
"""

PYTHON = """\
import requests
import time

API_KEY = "YOUR_API_KEY"

# Submit job
response = requests.post(
    "https://pixeldojo.ai/api/v1/models/kling-image/run",
    headers={
        "Authorization": f"Bearer {API_KEY}",
        "Content-Type": "application/json"
    },
    json={
        "prompt": "A beautiful mountain landscape at golden hour, photorealistic",
        "aspect_ratio": "1:1"
    }
)

job = response.json()
job_id = job["jobId"]

# Poll for completion
while True:
    status_response = requests.get(
        f"https://pixeldojo.ai/api/v1/jobs/{'{job_id}'}",
        headers={"Authorization": f"Bearer {API_KEY}"}
    )
    status = status_response.json()
    if status["status"] == "completed":
        print("Output:", status["output"])
        break
    elif status["status"] == "failed":
        print("Error:", status.get("error"))
        break
    time.sleep(2)
"""

JAVASCRIPT = """\
const API_KEY = 'YOUR_API_KEY';

// Submit job
const submitResponse = await fetch('https://pixeldojo.ai/api/v1/models/kling-image/run', {
  method: 'POST',
  headers: {
    'Authorization': `Bearer ${API_KEY}`,
    'Content-Type': 'application/json'
  },
  body: JSON.stringify({
    prompt: 'A beautiful mountain landscape at golden hour, photorealistic',
    aspect_ratio: '1:1'
  })
});

const job = await submitResponse.json();

// Poll for completion
const pollForResult = async (jobId) => {
  while (true) {
    const statusResponse = await fetch(`https://pixeldojo.ai/api/v1/jobs/${jobId}`, {
      headers: { 'Authorization': `Bearer ${API_KEY}` }
    });
    const status = await statusResponse.json();
    if (status.status === 'completed') return status.output;
    if (status.status === 'failed') throw new Error(status.error);
    await new Promise(r => setTimeout(r, 2000));
  }
};

const output = await pollForResult(job.jobId);
console.log('Output:', output);
"""

needs_curl = pytest.mark.skipif(not (shutil.which("curl") and shutil.which("bash")), reason="needs curl and bash")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")


def addressed(example: str, sandbox: Sandbox) -> str:
    """The example with its address and key replaced."""
    replaced = example.replace("https://pixeldojo.ai", sandbox.origin).replace("YOUR_API_KEY", sandbox.key)
    assert sandbox.origin in replaced
    assert sandbox.key in replaced
    return replaced


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@needs_curl
def test_the_curl_examples_run(sandbox: Sandbox) -> None:
    job = json.loads(run("bash", "-c", addressed(CURL_SUBMIT, sandbox)))
    assert set(job) == {"jobId", "status", "statusUrl", "creditCost", "creditsRemaining"}
    assert job["status"] == "pending"
    done = json.loads(run("bash", "-c", addressed(CURL_POLL, sandbox).replace("job_abc123", job["jobId"])))
    assert set(done) == {"jobId", "status", "output", "creditCost"}
    assert done["status"] == "completed"
    assert requests.get(done["output"]["images"][0], timeout=30).content.startswith(b"\x89PNG")


def test_the_python_example_runs_with_its_poll_url_mended(sandbox: Sandbox, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(addressed(PYTHON.replace("{'{job_id}'}", "{job_id}"), sandbox))
    assert f"Output: {{'images': ['{sandbox.origin}/temp/job_" in run(sys.executable, str(script))
    assert [entry.status for entry in sandbox.log] == [200, 200]


def test_the_python_example_as_printed_asks_for_a_job_that_does_not_exist(sandbox: Sandbox, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(addressed(PYTHON, sandbox))
    failed = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert failed.returncode != 0
    assert [entry.status for entry in sandbox.log] == [200, 404]


@needs_node
def test_the_javascript_example_runs(sandbox: Sandbox, tmp_path: Path) -> None:
    script = tmp_path / "example.mjs"
    script.write_text(addressed(JAVASCRIPT, sandbox))
    shown = run("node", str(script))
    assert "Output:" in shown
    assert f"{sandbox.origin}/temp/job_" in shown


@needs_node
def test_the_javascript_example_waits_for_a_job_that_takes_its_time(sandbox: Sandbox, tmp_path: Path) -> None:
    from kling_notebook.sandbox import Fault

    sandbox.add_fault(Fault("poll", "wire", at=1, raw=b'HTTP/1.1 200 OK\r\n\r\n{"status":"processing"}'))
    script = tmp_path / "example.mjs"
    script.write_text(addressed(JAVASCRIPT, sandbox))
    assert "Output:" in run("node", str(script))
    assert sandbox.count("poll") == 2
