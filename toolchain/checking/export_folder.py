"""A folder that snnas export wrote: whole, valid, each part doing what was recorded of it.

Hashes find damage; a signature they are not: who re-writes the manifest too is found by the runs, not by them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from snnas.export.compiler.observed_currents import Ranges
from snnas.export.compiler.rounding import FORMER_MAX_INPUTS, formerly_plain
from snnas.export.formats.c import SOURCES
from snnas.export.formats.nir_file import read_nir
from snnas.export.formats.program_file import read_program
from snnas.export.graph.graph import Graph
from snnas.hw_sim.early_exit import KEY
from snnas.hw_sim.errors import InvalidFileError, UsageError, brief
from snnas.hw_sim.files import read_bytes, read_json, sha256
from snnas.hw_sim.map.mapping import load_system
from snnas.hw_sim.map.system import CORES
from snnas.hw_sim.program import Program
from snnas.toolchain.checking import folder_runs
from snnas.toolchain.checking.arrival import POINTER, is_pointer, refuse_pointer
from snnas.toolchain.checking.findings import Book, amount_of, written_otherwise
from snnas.toolchain.checking.folder_c import check_c
from snnas.toolchain.checking.folder_netx import NET, check_net
from snnas.toolchain.checking.graph_rules import check_version, describe
from snnas.toolchain.checking.made import Made, leaf
from snnas.toolchain.checking.options import CheckOptions
from snnas.toolchain.checking.said import check_program_said, check_ranges_said, check_samples_said
from snnas.toolchain.checking.same_network import check_rounding, is_tuned
from snnas.toolchain.checking.samples import (
    OBSERVED_SAMPLES,
    Samples,
    are_trained_on,
    calibration_of,
    given,
    stimulus_of,
)
from snnas.toolchain.checking.strays import FILES, ONNX_FILES, stray
from snnas.toolchain.exporting.formats import C_PRICED, CALIBRATED, FORMAT, ONNX_FORMAT, READ, ROUNDED_WIDE
from snnas.toolchain.exporting.lava import script
from snnas.toolchain.output.report import read_report
from snnas.toolchain.runs.run import meant_by

OF_VERSION = ("SN211", "SN313")  # what an export of an older version fails first, and which names it
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,200}", re.ASCII)
Tree = Mapping[str, Any]


def check_folder(book: Book, options: CheckOptions, *, judged: bool) -> Made:
    """SN1xx to SN3xx and SN6xx of an export; its figures, made again where they are judged."""
    folder = book.subject
    manifest = book.attempt("SN105", "manifest", lambda: read_manifest(folder))
    if manifest is None:
        return Made()
    book.add("SN103", "manifest", "passed", str(manifest["format"]))
    _check_files(book, manifest)
    older = manifest["format"] not in (FORMAT, ONNX_FORMAT) and not options.trust_report
    if manifest["format"] != ONNX_FORMAT and book.healthy and not older:
        _check_script(book, manifest)
    if book.bad("SN1"):
        return Made()
    graph = book.attempt("SN105", "graph", lambda: read_nir(folder / "model.nir"), folder / "model.nir")
    if graph is not None:
        book.add("SN105", "graph", "passed", describe(graph), folder / "model.nir")
        check_version(book, graph, folder / "model.nir")
    if manifest["format"] == ONNX_FORMAT:
        return _check_onnx(book, graph, manifest, options, judged=judged)
    place = folder / "program.npz"
    program = book.attempt("SN117", "program", lambda: read_program(place), place)
    if program is not None:
        counted = folder_runs.described(program)
        book.add("SN117", "program", "passed", counted, place)
    if graph is None or program is None or book.bad("SN1", "SN2"):
        return Made()
    made = _check_parts(book, graph, program, manifest, options, judged=judged)
    if older and not any(f.code in OF_VERSION and f.status == "failed" for f in book.findings):  # one cause, one line
        _check_script(book, manifest)
    return made


def read_manifest(folder: Path) -> dict[str, Any]:
    """manifest.json with a table of files; InvalidFileError where it is absent (SN103), newer (SN102) or none."""
    path = folder / "manifest.json"
    if not path.is_file():
        if run := meant_by(folder):
            raise InvalidFileError(f"{folder}: no manifest.json in it{run}", code="SN103")
        if any((folder / name).is_file() for name in (*FILES, *ONNX_FILES)):
            raise InvalidFileError(f"{path}: no such file; export again, and keep the whole folder", code="SN103")
        raise InvalidFileError(
            f"{folder}: nothing of an export in it (no manifest.json, no model.nir); name a folder that snnas export "
            "wrote, a .nir or an .onnx",
            code="SN103",
        )
    refuse_pointer(path)
    manifest = read_json(path)
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found not in (*READ, ONNX_FORMAT):
        ours = {known.rpartition("/")[0]: known for known in (FORMAT, ONNX_FORMAT)}
        family, _, number = str(found).rpartition("/")
        older = family in ours and number.isdecimal() and len(number) < 9
        older = older and int(number) < int(ours[family].rpartition("/")[2])
        mend = "it is older: snnas export --force" if older else "upgrade snnas, or snnas export --force"
        raise InvalidFileError(
            f"{path}: not the manifest of an export: format {str(found)[:40]!r}; this version reads {FORMAT} and "
            f"{ONNX_FORMAT}: {mend}",
            code="SN102" if family in ours else None,
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or not all(isinstance(v, str) for v in files.values()):
        raise InvalidFileError(f"{path}: not the manifest of an export: no table of files and hashes")
    targets = ("onnx",) if found == ONNX_FORMAT else ("lava", "c")
    if manifest.get("target") not in targets:
        raise InvalidFileError(
            f"{path}: target is {brief(manifest.get('target'))}, expected {' or '.join(targets)}; export again"
        )
    return dict(manifest)


def _lacks(manifest: Tree, again: Program) -> str | None:
    """Why ``again``, compiled from the export's graph, is not its program; None where it has to be."""
    if manifest["format"] not in CALIBRATED:
        return "without the samples that it was calibrated with"
    if manifest["format"] not in ROUNDED_WIDE and formerly_plain(again):
        return f"which rounded layers of more than {FORMER_MAX_INPUTS:,} inputs otherwise"
    return None


def _check_files(book: Book, manifest: Tree) -> None:
    wanted: tuple[str, ...] = ONNX_FILES if manifest["format"] == ONNX_FORMAT else FILES
    if manifest["format"] in CALIBRATED:
        wanted = (*FILES, "calibration.npz")
    wanted = (*wanted, *SOURCES) if manifest.get("target") == "c" else wanted
    recorded = manifest["files"]
    strays = stray(book.subject, manifest["target"], recorded)
    for name in dict.fromkeys((*wanted, *recorded, *strays)):
        path = book.subject / name
        if not _PLAIN_NAME.fullmatch(name) or path.is_symlink():
            book.add("SN115", f"file {name}", "invalid", "leads out of the folder; export again", path)
        elif not path.is_file():
            book.add("SN103", f"file {name}", "invalid", "missing; export again", path)
        elif is_pointer(path):
            book.add("SN101", f"file {name}", "invalid", POINTER, path)
        elif name in strays:
            book.add("SN103", f"file {name}", "invalid", strays[name], path)
        elif recorded.get(name) != sha256(path):
            why = "its hash is not the manifest's; the file was changed or damaged, export again"
            book.add("SN104", f"file {name}", "invalid", why, path)
        else:
            book.add("SN104", f"file {name}", "passed", recorded[name][:12], path)


def _ranges(manifest: Tree) -> Ranges:
    """``--ranges`` of the export."""
    asked = manifest.get("inputs")
    named = asked.get("ranges") if isinstance(asked, Mapping) else None
    return next((known for known in get_args(Ranges) if known == named), "auto")


def _version(manifest: Tree) -> str:
    """Of the snnas that wrote the export; '' where the manifest does not say."""
    versions = manifest.get("versions")
    return str(versions.get("snnas", "") if isinstance(versions, Mapping) else "")[:40]


def _check_script(book: Book, manifest: Tree) -> None:
    """SN120: run_lava.py, which a user runs by hand and believes."""
    place = book.subject / "run_lava.py"
    same = read_bytes(place) == script().encode()
    problem = f"not the script of this snnas; {written_otherwise(_version(manifest))}"
    book.judge("SN120", "run_lava.py", None if same else problem, "as this version ships it", place)


def _check_parts(
    book: Book, graph: Graph, program: Program, manifest: Tree, options: CheckOptions, *, judged: bool
) -> Made:
    folder = book.subject
    report = book.attempt("SN307", "recorded figures", lambda: read_report(folder / "report.json"))
    samples = book.attempt("SN301", "recorded spikes", lambda: stimulus_of(folder, program))
    if report is None or samples is None:
        return Made()
    recorded = book.attempt("SN301", "recorded spikes", lambda: folder_runs.read_recorded(folder, samples))
    if recorded is None:
        return Made()
    calibration = None
    if manifest["format"] in CALIBRATED:
        calibration = book.attempt("SN211", "calibration", lambda: calibration_of(folder, program))
        if calibration is None:
            return Made()
    watched = samples.first(max(len(recorded.samples), OBSERVED_SAMPLES))
    structure = partial(folder_runs.check_structure, book, graph, program, watched, calibration, _ranges(manifest))
    again = book.attempt("SN207", "program against graph", structure)
    ranges = book.attempt("SN208", "ranges", lambda: folder_runs.check_ranges(book, program, watched))
    book.attempt("SN209", "resolution", lambda: folder_runs.check_resolution(book, graph, program))
    errors, proved = None, False
    if again is not None:
        lacks = _lacks(manifest, again)
        rounding = partial(
            check_rounding, book, graph, program, again, report, lacks=lacks, trusted=options.trust_report
        )
        errors = book.attempt("SN211", "program's numbers", rounding)
        proved = errors is not None and lacks is None and not is_tuned(report)
    _check_c(book, program, manifest, report, recorded.samples)
    book.attempt("SN316", "netx", lambda: check_net(book, program, report, _version(manifest)), folder / NET)
    fired = book.attempt("SN301", "recorded spikes", lambda: folder_runs.check_program(book, program, recorded))
    spikes = partial(folder_runs.check_graph, book, graph, program, manifest, recorded, fired, proved=proved)
    run = book.attempt("SN301", "graph's spikes", spikes)
    if calibration is not None:  # an older export holds fewer samples
        check_samples_said(book, samples, report["accuracy"]["samples"])
    if errors and run and fired:
        check_program_said(book, graph, program, report, errors, recorded, run, older=calibration is None)
    if ranges:
        check_ranges_said(book, report, ranges, watched=len(watched))
    book.attempt("SN307", "recorded resources", lambda: folder_runs.check_resources(book, program, manifest))
    book.attempt("SN307", "recorded figures", lambda: folder_runs.check_tables(book, report, manifest))
    if KEY in program.meta or "early_exit" in report:
        from snnas.toolchain.checking.early_exit import check_early_exit  # with all that runs

        book.attempt("SN314", "early exit", lambda: check_early_exit(book, program, samples, report))
    if not judged:
        return Made(judged=samples)
    made = _figures(book, graph, program, samples, options, report)
    return _without_a_chip(book, made, options) if manifest.get("target") == "c" else made


def _check_c(book: Book, program: Program, manifest: Tree, report: Tree, recorded: Samples) -> None:
    """SN313, of a folder that says that it holds C, and of one whose report speaks of it all the same."""
    if manifest["target"] == "c":
        older = None if manifest["format"] in C_PRICED else _version(manifest)
        book.attempt("SN313", "C", lambda: check_c(book, program, recorded, report, older=older))
    elif report.get("c") is not None:
        why = "the manifest's target is lava, and report.json has figures of C all the same; export again"
        book.add("SN313", "C", "failed", why, book.subject / "manifest.json")


def _without_a_chip(book: Book, made: Made, options: CheckOptions) -> Made:
    """The figures of C: a chip's price of a program that runs on a core would pass as the C's."""
    if load_system(options.pricing.system).core is not None:
        return made
    book.note(f"energy and latency of C are a core's: --system {' or '.join(CORES)}")
    chips = dict.fromkeys(("energy_total", "energy_dynamic", "latency"))
    claimed = {name: value for name, value in made.claimed.items() if name not in chips}
    return replace(made, figures=made.figures | chips, claimed=claimed, bands={})


def _figures(book: Book, graph: Graph, program: Program, samples: Samples, options: CheckOptions, report: Tree) -> Made:
    """The figures, made again; SN307 where the report's samples give others than it says."""
    from snnas.toolchain.checking.remake import profile_in, remake  # with all that runs, places and prices

    chosen = given(book.subject, options.reading) or samples
    with book.narrator.watched(f"{book.subject}: figures of {amount_of(len(chosen), 'sample')}"):
        made = remake(graph, program, chosen, options.pricing, report)
    place = book.subject / "report.json"
    if made.why:
        book.note(f"no figures: {made.why}")
    elif made.elsewhere:
        book.note(f"figures are of {options.pricing.system}; those of the report, of another system, are not compared")
    elif made.samples == made.reported and chosen.given is None:
        what = ["accuracy", "activity", "energy", "latency"]
        if chosen.y is None:
            what.remove("accuracy")
            if report["accuracy"]["on_target"] is not None:
                book.note("accuracy of report.json is claimed: the samples have no labels")
        if profile_in(report) is None:
            what, profile = what[:-2], brief(leaf(report, ("energy_uJ", "profile")))
            book.note(f"energy and latency of report.json are claimed: of profile {profile}, which is none of snnas's")
        named = " and ".join(filter(None, (", ".join(what[:-1]), what[-1])))
        good = f"{named} as measured again on {amount_of(made.samples, 'sample')}"
        book.judge("SN307", "report's figures", made.recorded, good, place)
    elif chosen.given is not None:
        split = f": {chosen.split}" if chosen.split else ""
        book.note(f"figures are measured on {amount_of(made.samples, 'sample')} of {chosen.given}{split}")
        if are_trained_on(chosen, report):
            book.note(
                f"{chosen.given} holds what this network was trained on, and judges by that too; leave --data out, "
                "and its test split is judged, of which stimulus.npz holds as much as fits"
            )
    else:
        said = f"; the report speaks of {made.reported}" if made.reported else ""
        book.note(f"figures are measured on {amount_of(made.samples, 'sample')}{said}")
    return made


def _check_onnx(book: Book, graph: Graph | None, manifest: Tree, options: CheckOptions, *, judged: bool) -> Made:
    from snnas.toolchain.checking.folder_onnx import check_onnx  # what most exports do not need
    from snnas.toolchain.checking.onnx_rules import open_onnx

    if options.reading.data is not None:
        raise UsageError(
            f"--data {options.reading.data}: {book.subject} holds no program to measure on it; leave it out"
        )
    opened = open_onnx(book, book.subject / "model.onnx")
    if graph is None or opened is None:
        return Made()
    onnx = partial(check_onnx, book, graph, opened[0], _version(manifest), judged=judged)
    found = book.attempt("SN301", "ONNX against NIR", onnx)
    return found or Made()
