# SPDX-License-Identifier: Apache-2.0
"""The job of config/bosh, rendered as BOSH renders it: by Ruby's ERB."""

import json
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
JOB = ROOT / "config/bosh/jobs/uidnfsd"
_ERB = pathlib.Path(__file__).with_name("erb.rb")


def load_yaml(path):
    """The document, by Ruby's reader, which BOSH uses."""
    done = subprocess.run(["ruby", "-ryaml", "-rjson", "-e",
                           "puts YAML.load_file(ARGV[0]).to_json", path],
                          capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def render(template, properties):
    """The text that `template` (a path) becomes; AssertionError with Ruby's words."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as given:
        json.dump(properties, given)
        given.flush()
        done = subprocess.run(["ruby", _ERB, JOB / "spec", given.name, template],
                              capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0 or done.stderr:
        raise AssertionError(f"{template}: {done.stderr}")
    return done.stdout


def install(root, properties):
    """The job's directory below `root`, as the agent of BOSH lays it out."""
    job = root / "var/vcap/jobs/uidnfsd"
    for template, place in load_yaml(JOB / "spec")["templates"].items():
        path = job / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(JOB / "templates" / template, properties), encoding="utf-8")
        path.chmod(0o755 if place.startswith("bin/") else 0o640)
    return job
