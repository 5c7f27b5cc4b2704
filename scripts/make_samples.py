"""Makes the binary files of samples/ from the text here; the same text gives the same bytes.

Run by hand after a change, and commit what it writes: ``python scripts/make_samples.py``. Needs reportlab, which
openbook itself does not.
"""

from __future__ import annotations

import io
import re
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import docx
import openpyxl  # type: ignore[import-untyped,unused-ignore]
from reportlab.lib import colors  # type: ignore[import-not-found,import-untyped,unused-ignore]
from reportlab.lib.pagesizes import A4  # type: ignore[import-not-found,import-untyped,unused-ignore]
from reportlab.lib.styles import getSampleStyleSheet  # type: ignore[import-not-found,import-untyped,unused-ignore]
from reportlab.platypus import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
    Flowable,
    PageBreak,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
)

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
MADE = datetime(2026, 3, 2, 9, 0, 0)

Rows = list[list[str]]

# "# " is a heading, "| " a table's row, "---" the next page; an indented line goes on with the one above.
MANUAL = """\
# 1 Overview
The Heron H2 is a radar tide gauge for harbours, piers and lock gates. It hangs above the water, sends a
  radar pulse downwards once a second and averages the echoes of 40 seconds into one reading. Nothing
  touches the water, so there is nothing to foul, and the gauge can be serviced dry-shod.
The gauge measures the distance to the water and reports the level above its own zero. To get the level
  above chart datum, add the datum offset of the station. The offset is determined at calibration (section
  4) and belongs in the register of stations.
| Property | Value
| Measuring range | 0.3 m to 15 m
| Accuracy | 3 mm, or 8 mm above 10 m
| Beam angle | 8 degrees
| Mass without battery | 2.7 kg
| Protection | IP68, 72 hours at 1 m
| Operating temperature | -20 to +55 degrees Celsius
| Internal memory | 180 days of readings at the default interval
The default interval between readings is 6 minutes. It can be set to 1, 6 or 15 minutes.
This manual is document HM-204, revision 2.4, of March 2026. It describes gauges with firmware 4.2.0 or later.
---
# 2 Mounting
Mount the gauge on bracket H2-BR with four M8 bolts, tightened to 6 newton metres. More torque deforms
  the housing and breaks the seal.
Keep 1.2 m from any wall, ladder or pile. Where the gauge hangs more than 8 m above the lowest water,
  keep 2 m. A ladder within the beam looks like water that never moves.
The green light blinks three times when the gauge is level to within 1 degree. Tighten the bolts
  crosswise while you watch it.
# 3 Power
The gauge runs on one battery pack B-19 (lithium, 12 V, 19 Ah). How long a pack lasts depends on the interval:
| Interval | Life of a pack at 10 degrees Celsius
| 1 minute | 5 months
| 6 minutes | 14 months
| 15 minutes | 26 months
Below 10.8 V the gauge shows E05 and stops sending, but it goes on recording. Below 9.9 V it switches off.
A capacitor keeps the clock running for 90 seconds while the pack is changed. If it takes longer, the
  gauge starts with E03 and the clock must be set again.
Never recharge a pack B-19. Used packs go back to Lochan Instruments.
---
# 4 Calibration
Calibrate every 6 months, after every move, and after code E09. You need a tide staff beside the gauge, a
  watch and two people.
Choose an hour around slack water with waves below 10 cm. Then:
1. Hold the service button for five seconds until the light turns blue.
2. Read the staff ten times, one minute apart, and write down each reading with its time.
3. Press the button again. The gauge shows the mean of its own ten readings.
4. Subtract the mean of the gauge from the mean of the staff. The difference is the new datum offset.
5. Compare it with the old offset. If they differ by more than 8 mm, repeat from step 1.
6. If a third attempt still differs by more than 20 mm, the sensor is faulty: send the gauge in.
Enter the new offset in the register of stations on the same day, with both names. An offset that is
  known only to the gauge is lost with the gauge.
While the light is blue no readings are sent. The gauge leaves this state by itself after 45 minutes.
---
# 5 Error codes
The code stands on the first line of the display and in the last column of each record. Code E10 is not used.
| Code | Meaning | What to do
| E01 | No echo | Remove what stands in the beam
| E02 | Weak echo (foam, ice) | Wait; clear ice by hand
| E03 | Clock not set | Set the clock, or wait for network time
| E04 | Memory 90 % full | Read out the records
| E05 | Battery below 10.8 V | Change pack B-19
| E06 | Humidity above 70 % in the housing | Change desiccant bag D-3
| E07 | Rain or spray | Wait; if it lasts more than 2 hours, clean the antenna
| E08 | Sending failed three times | Check the modem; records are kept and sent later
| E09 | Tilted by more than 4 degrees | Level the gauge and calibrate
| E11 | Configuration checksum wrong | Load the station file again
| E12 | Sensor fault | Send the gauge in
If two codes apply, the lower number is shown. While E07 is shown the gauge repeats its last good reading
  for 10 minutes and then sends none.
---
# 6 Records and sending
Each reading is one line of text: time_utc,level_m,battery_v,code. The time is UTC and belongs to the end
  of the 40 seconds. The level has three decimals and is above gauge zero.
Readings go out by radio every 6 minutes where there is a network. With the satellite modem S-2 they go
  out once an hour, in batches, because each connection costs as much power as 30 readings.
A batch that is not acknowledged is sent again after 5, 20 and 60 minutes. Then the gauge shows E08 and
  waits for the next full hour.
Records are read out on the spot with the service cable H2-C. A full memory takes 11 minutes.
---
# 7 Maintenance
| When | What
| every month | Look at the display and write down the voltage
| every 6 months | Calibrate; clean the antenna with fresh water
| every 12 months | Change desiccant bag D-3
| every 5 years | Send the gauge in for new seals
Use no solvent and no pressure washer on the antenna: its coating repels water and is 0.2 mm thin.
  Cleaning kit ANT-C holds everything needed.
# 8 Warranty and service
The warranty is 36 months from delivery. It does not cover battery packs, desiccant bags, or gauges that
  were opened by others.
Lochan Instruments, Quay Road 7, Port Ellary. The service desk answers on working days from 07:30 to
  16:00 UTC. A repair takes 15 working days; a gauge on loan costs 40 crowns a week.
"""

# "# " is a heading, "- " a list item, "| " a table's row.
MINUTES = """\
Meeting of 14 April 2026, harbour office at Skerrow, 14:00 to 15:35.
# Present
- Marta Olsen (chair)
- Ines Falk (field work)
- Tomas Reid (stores and accounts)
- Pia Lindqvist (harbour master)
- Jon Aske (Marrow Lock)
- Ruth Varga (minutes)
# State of the network
Six stations are at work. Over the winter 98.2 % of all readings arrived; the year before it was 95.7 %.
  Gannet Rock was silent for four days in January because ice had bent the antenna of the satellite modem.
Five of the six gauges run firmware 4.3.0. Gannet Rock stays on 4.2.1 until a boat can land there, which
  will not be before June.
# Calibration interval
On 2 March the gauge at Skerrow Harbour was found to be 11 mm off, three months before its next
  calibration was due. Ines Falk showed that the pier has settled.
The committee decided: the gauges at Skerrow Harbour and Kittle Point are calibrated every 3 months from
  now on. All others keep the interval that the manufacturer gives. Five votes for, one against (Tomas
  Reid, who asked for a second bracket instead).
# Budget
The committee approved 18,400 crowns for the year:
| Item | Crowns
| Two spare gauges at 6,150 | 12,300
| Battery packs | 2,400
| Training on the service cable | 3,700
| Sum | 18,400
The purchase of a drone for 5,200 crowns was put off until the autumn.
# Surge drill
The next drill is on 9 June 2026 at 06:00 UTC, led by Ines Falk. It follows the runbook, with the siren
  replaced by a telephone call. Last year closing the Marrow Lock gates took 31 minutes, nine minutes more
  than planned, because the spare key was in Port Ellary. A second key now hangs at the lock.
# Action items
| No. | What | Who | Until
| 1 | Plan of calibrations for both piers | Ines Falk | 30 April 2026
| 2 | Order the spare gauges | Tomas Reid | 8 May 2026
| 3 | Find a boat for Gannet Rock | Pia Lindqvist | 1 June 2026
| 4 | Count the sandbags in the depot | Jon Aske | 5 June 2026
The next meeting is on 14 July 2026.
"""

SHEETS: dict[str, list[list[str | float | int]]] = {
    "Stations": [
        ["Code", "Station", "Gauge", "Datum offset (m)", "Interval (min)", "Firmware", "Connection"],
        ["SKW", "Skerrow Harbour", "H2-0417", 1.274, 6, "4.3.0", "radio"],
        ["KTP", "Kittle Point", "H2-0422", 0.981, 6, "4.3.0", "radio"],
        ["ELL", "Port Ellary", "H2-0398", 1.512, 6, "4.3.0", "radio"],
        ["MRN", "Marrow Lock", "H2-0405", 2.036, 1, "4.3.0", "radio"],
        ["DUN", "Dunlin Pier", "H2-0431", 1.118, 6, "4.3.0", "radio"],
        ["GAN", "Gannet Rock", "H2-0377", 0.744, 15, "4.2.1", "satellite"],
    ],
    "Spares": [
        ["Part", "Description", "In stock", "Price (crowns)", "Shelf"],
        ["B-19", "Battery pack", 7, 185, "C"],
        ["D-3", "Desiccant bag", 24, 6.5, "A"],
        ["H2-BR", "Bracket", 3, 94, "F"],
        ["H2-C", "Service cable", 2, 61, "A"],
        ["ANT-C", "Cleaning kit", 5, 38, "A"],
        ["S-2", "Satellite modem", 1, 920, "locked cabinet"],
    ],
}


def main() -> None:
    made = {
        "heron-h2-manual.pdf": manual(),
        "committee-minutes.docx": without_times(minutes()),
        "stations.xlsx": without_times(stations()),
    }
    for name, data in made.items():
        (SAMPLES / name).write_bytes(data)
        print(f"samples/{name}: {len(data):,} bytes")


def lines_of(text: str) -> list[str]:
    """With an empty one at the end, so that a table on the last lines is closed."""
    return [*text.replace("\n  ", " ").splitlines(), ""]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.removeprefix("|").split("|")]


class Heading(Flowable):  # type: ignore[misc,unused-ignore]
    """A heading that enters itself into the PDF's table of contents."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text, self._paragraph = text, Paragraph(text, getSampleStyleSheet()["Heading1"])

    def wrap(self, width: float, height: float) -> Any:
        return self._paragraph.wrap(width, height)

    def draw(self) -> None:
        self.canv.bookmarkPage(self._text)
        self.canv.addOutlineEntry(self._text, self._text, 0)
        self._paragraph.drawOn(self.canv, 0, 0)


def manual() -> bytes:
    styles = getSampleStyleSheet()
    story: list[Any] = [
        Paragraph("Heron H2 Tide Gauge", styles["Title"]),
        Paragraph("Operating Manual", styles["h2"]),
    ]
    rows: list[list[Any]] = []
    for line in lines_of(MANUAL):
        if line.startswith("|"):
            rows.append([Paragraph(cell, styles["BodyText"]) for cell in cells(line)])
            continue
        if rows:
            grid = [("GRID", (0, 0), (-1, -1), 0.4, colors.grey), ("VALIGN", (0, 0), (-1, -1), "TOP")]
            widths = [45, 180, 226] if len(rows[0]) == 3 else [150, 301]
            story += [Table(rows, widths, style=grid), Spacer(1, 8)]
            rows = []
        if line == "---":
            story.append(PageBreak())
        elif line.startswith("# "):
            story.append(Heading(line[2:]))
        elif line:
            story.append(Paragraph(line, styles["BodyText"]))
    out = io.BytesIO()
    title = "Heron H2 Tide Gauge: Operating Manual"
    # invariant: no dates and no random ids in the file
    SimpleDocTemplate(out, pagesize=A4, title=title, author="Lochan Instruments", invariant=1).build(story)
    return out.getvalue()


def minutes() -> bytes:
    document = docx.Document()
    document.core_properties.title = "Minutes of the Tide Committee"
    document.core_properties.author = "Ruth Varga"
    document.core_properties.created = document.core_properties.modified = MADE
    document.add_heading("Minutes of the Tide Committee", 0)
    rows: Rows = []
    for line in lines_of(MINUTES):
        if line.startswith("|"):
            rows.append(cells(line))
            continue
        if rows:
            _table(document, rows)
            rows = []
        if line.startswith("# "):
            document.add_heading(line[2:], 1)
        elif line.startswith("- "):
            document.add_paragraph(line[2:], style="List Bullet")
        elif line:
            document.add_paragraph(line)
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def _table(document: Any, rows: Rows) -> None:
    table = document.add_table(rows=0, cols=len(rows[0]), style="Table Grid")
    for row in rows:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text


def stations() -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    book.properties.creator, book.properties.created = "Tomas Reid", MADE
    for title, rows in SHEETS.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def without_times(data: bytes) -> bytes:
    """The same archive with one fixed time, so that a second run gives the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "docProps/core.xml":
                content = _fixed_modified(content)
            new.writestr(zipfile.ZipInfo(name, (2026, 3, 2, 9, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _fixed_modified(core: bytes) -> bytes:
    time = MADE.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    return re.sub(rb"(<dcterms:modified[^>]*>)[^<]*", rb"\g<1>" + time, core)


if __name__ == "__main__":
    main()
