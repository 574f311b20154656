#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/OPERATING.md and config/prometheus-alerts.yml against the source: operating_check.py REPOSITORY.

Metrics, routes, events and fields of the audit: what is documented is in the source, and what is in
the source is documented.
"""

import pathlib
import re
import sys

METRIC = re.compile(r'"(uidnfs_[a-z_]+)"')
EVENT_WORD = re.compile(r'case Decision::Event::\w+: return "([^"]+)"')
RECORDED = re.compile(r'(?:record|\badd|audit_line)\(\s*"([a-z ]+)"')
RECHECKED = re.compile(r'return "(identity [a-z ]+)"')
FIELD = re.compile(r'(?:add_text\((?:fields|entry|line), |fields\[)"([a-z_]+)"|\{"(version|time|event)",')
ROUTE = re.compile(r'path [!=]= "(/[a-z_]+)"')
# Suffixes that Prometheus gives to the lines of a histogram.
HISTOGRAM = re.compile(r"_(bucket|sum|count)$")
# Fields that belong to one event, and are told there.
OF_EVENTS = {"asked", "changes", "problems", "verdict", "count", "left", "lost", "deadline_seconds"}
# Not of the audit: lines of /volumes.
OF_VOLUMES = {"mountpoint"}


def table(text, head):
    """The first cells of the table that begins with the column `head`: all `code` in them."""
    rows = text.split(f"\n| {head} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row.split("|")[1])}


def compare(what, documented, known):
    for name in sorted(documented - known):
        yield f"{what} {name} is documented, and not in the source"
    for name in sorted(known - documented):
        yield f"{what} {name} is in the source, and not documented"
    if len(known) < 4:
        yield f"only {len(known)} of {what} were found: the check looks for the wrong thing"


def main():
    root = pathlib.Path(sys.argv[1])
    text = (root / "docs" / "OPERATING.md").read_text(encoding="utf-8")
    alerts = (root / "config" / "prometheus-alerts.yml").read_text(encoding="utf-8")
    observe = root / "plugins" / "observe"
    source = {path.name: path.read_text(encoding="utf-8") for path in observe.glob("*.cpp")}
    everything = "".join(source.values())
    daemon = "".join(path.read_text(encoding="utf-8")
                     for path in sorted((root / "plugins" / "daemon").glob("*.cpp")))
    volumes = "".join(path.read_text(encoding="utf-8")
                      for path in sorted((root / "plugins" / "core").glob("volumes*.cpp")))

    metrics = set(METRIC.findall(everything))
    documented = {re.sub(r"\{.*", "", name) for name in table(text, "Metric")}
    problems = list(compare("metric", documented, metrics))
    for name in sorted(set(re.findall(r"\buidnfs_[a-z_]+", alerts))):
        if name not in metrics and HISTOGRAM.sub("", name) not in metrics:
            problems.append(f"config/prometheus-alerts.yml uses {name}, which does not exist")
    events = set(EVENT_WORD.findall(volumes)) | set(RECHECKED.findall(everything))
    events |= set(RECORDED.findall(everything)) | set(RECORDED.findall(daemon))
    problems += compare("event", table(text, "Event"), events)
    fields = {name for pair in FIELD.findall(everything) for name in pair if name}
    problems += compare("field", table(text, "Field"), fields - OF_EVENTS - OF_VOLUMES)
    for name in sorted(OF_EVENTS - {"deadline_seconds"}):
        if f"`{name}`" not in text:
            problems.append(f"field {name} is told with no event")
    routes = {re.sub(r"^\w+ ", "", cell) for cell in table(text, "Route")}
    problems += compare("route", routes, set(ROUTE.findall(source["admin_routes.cpp"])))
    print("\n".join(problems) or f"{len(metrics)} metrics, {len(events)} events and {len(fields)} fields "
          "are as the source has them")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
