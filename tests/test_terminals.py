"""What reaches a terminal, a pipe, a log or a notebook: spelled with what it has, without codes, never a traceback."""

import codecs
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supermask.analysis.command.arguments import GOES_ON, parser_of
from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import FAILED, MISUSED, OK
from supermask.analysis.running.pricing import StepSeconds
from supermask.analysis.system.screen import Screen, dealt, fitted, print_table
from supermask.analysis.system.terminal import Output, is_terminal, lasting_output, plain, set_up_streams
from supermask.figures.catalogue import CATALOGUE

COMMAND = [sys.executable, "-c", "from supermask.figures.command import main; main()"]


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """A line of bash in which `supermask` is the command of this tree."""
    program = "from supermask.figures.command import main; main()"
    text = f"""supermask() {{ "{sys.executable}" -c "{program}" "$@"; }}; {line}"""
    own = {name: value for name, value in os.environ.items() if name not in ("LC_ALL", "LANG", "PYTHONUTF8")}
    return subprocess.run(
        ["bash", "-c", text],  # noqa: S607 - whatever bash there is
        cwd=folder,
        env=own | {"PYTHONPATH": str(Path(__file__).parent.parent)} | environment,
        capture_output=True,
        timeout=300,
    )


@given(st.text())
def test_plain_text_is_itself_but_for_what_steers_a_terminal(text):
    shown = plain(text)
    shown.encode()
    assert plain(shown) == shown
    for character in shown:
        assert character in "\n\t" or character.isprintable() or character.isspace() or ord(character) > 0xA0
        assert not 0x7F <= ord(character) < 0xA0
    if text.isascii() and text.isprintable():
        assert shown == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\rb", r"a\x0db"),
        ("\x9b2J", r"\x9b2J"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\udc80", r"\udc80"),
        ("a\tb\nc é µ", "a\tb\nc é µ"),
    ],
)
def test_control_characters_are_spelled(text, shown):
    assert plain(text) == shown


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", b"5x 3-4 us ... ?"), ("latin-1", b"5\xd7 3-4 \xb5s ... ?")])
def test_what_an_encoding_lacks_is_spelled_in_other_characters(encoding, shown, monkeypatch):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    set_up_streams()
    print("5× 3–4 µs … 漢", end="", flush=True)
    assert raw.getvalue() == shown
    assert codecs.lookup_error("supermask.spell")


@pytest.mark.parametrize(
    "environment", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C"}]
)
def test_help_and_errors_come_in_any_locale(environment, tmp_path):
    ended = shell("supermask reproduce --help && supermask results --results 'é×'", tmp_path, **environment)
    assert ended.returncode == MISUSED
    assert b"examples:" in ended.stdout
    assert b"is not a results folder" in ended.stderr
    assert b"Traceback" not in ended.stderr


@pytest.mark.slow
def test_files_in_utf_8_are_read_and_written_under_an_ascii_locale(tmp_path):
    """The locale's encoding is for terminals; what a file holds is text of its own."""
    (tmp_path / "mine.py").write_text(
        '"""Größe."""\nfrom supermask.plugins import criterion\n\n\n@criterion("|größe|")\n'
        'def weight(w_final):\n    """The größe."""\n    return w_final**2\n',
        encoding="utf-8",
    )
    (tmp_path / "own.toml").write_text('# größer\noptimiser = "sgd"\nlearning-rate = 0.1\n', encoding="utf-8")
    (tmp_path / "own.mplstyle").write_text("# größere Schrift\nfont.size: 7\n", encoding="utf-8")
    (tmp_path / "own cluster.toml").write_text('# für alle\nkind = "nowhere"\n', encoding="utf-8")
    chosen = "mask-criteria --dataset digits --seeds 1 --rounds 1 --epochs 1 --recipe own.toml --plugin mine.py "
    chosen += "--criteria weight random --results größen"
    lines = (
        f"supermask reproduce {chosen} --style own.mplstyle",
        "supermask redraw größen/figures/mask-criteria-*.csv --style own.mplstyle",
        f"supermask report {chosen} --output größen/größe.html",
        "supermask results --results größen --csv größe.csv --where criterion=weight",
    )
    surroundings = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ended = shell(" && ".join(lines), tmp_path, **surroundings)
    assert ended.returncode == OK, ended.stderr
    assert "pixels · protocol quick" in (tmp_path / "größen" / "größe.md").read_text(encoding="utf-8")
    assert (tmp_path / "größe.csv").read_text(encoding="utf-8").startswith("id,kind,")
    refused = shell("supermask reproduce --cluster 'own cluster.toml'", tmp_path, **surroundings)
    assert refused.returncode == MISUSED
    assert b"kind 'nowhere' is unknown" in refused.stderr
    assert b"Traceback" not in ended.stderr + refused.stderr


@pytest.mark.parametrize("name", ["run[final]", "w/a[/b]", "[bold]x", ":smile:", "a[link=x]b"])
def test_a_folders_name_is_shown_as_it_is(name, tmp_path, monkeypatch, capsys):
    """Rich reads [words] in brackets as markup, and words between colons as emoji, unless told otherwise."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    arguments = ["reproduce", "criteria-plane", "--dataset", "digits", "--dry-run", "--results", name]
    monkeypatch.setattr("supermask.analysis.system.platform.set_up_jax", lambda devices=None: None)
    monkeypatch.setattr(
        "supermask.analysis.command.reproduce.measure",
        lambda *_: StepSeconds(1, 1),
    )
    assert run_command(arguments, CATALOGUE) == OK
    assert f"stored in {name}: 0 of 3 trainings" in capsys.readouterr().out


def test_what_a_file_says_reaches_the_terminal_without_its_codes(tmp_path, capsys):
    """A packed file's header may hold anything, and its error says what."""
    from supermask.packed import ENVELOPE

    path = tmp_path / "net.mask"
    path.write_bytes(ENVELOPE.seal({"network": "fc", "dataset": ["\x1b]0;owned\x07"]}, b""))
    assert run_command(["evaluate", str(path)], CATALOGUE) == FAILED
    said = capsys.readouterr().err
    assert "owned" in said
    assert "\x1b" not in said
    assert "\x07" not in said


def screen_of(monkeypatch, terminal: bool, **environment: str) -> tuple[Screen, io.StringIO]:
    text = io.StringIO()
    text.isatty = lambda: terminal  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdout", text)
    for name in ("NO_COLOR", "FORCE_COLOR", "JPY_PARENT_PID", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm-256color", "COLUMNS": "80"} | environment).items():
        monkeypatch.setenv(name, value)
    return Screen(), text


@pytest.mark.parametrize(
    ("terminal", "environment"),
    [
        (False, {}),
        (False, {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TTY_COMPATIBLE": "1"}),
        (True, {"JPY_PARENT_PID": "17", "FORCE_COLOR": "1", "TERM": "xterm-color"}),  # a notebook's !command
        (True, {"TERM": "dumb"}),
        (True, {"NO_COLOR": "1"}),
    ],
)
def test_there_are_no_codes_where_nobody_reads_them(terminal, environment, monkeypatch):
    screen, text = screen_of(monkeypatch, terminal, **environment)
    print_table(screen, "title", ("a", "b"), [("1", "2")])
    screen.print("words \x1b[2J")
    assert "words" in text.getvalue()
    assert "\x1b" not in text.getvalue()
    assert is_terminal() == ("NO_COLOR" in environment)


def test_a_terminal_has_codes(monkeypatch):
    screen, text = screen_of(monkeypatch, True)
    print_table(screen, "title", ("a", "b"), [("1", "2")])
    assert "\x1b" in text.getvalue()


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30), st.integers(40, 200))
def test_columns_that_do_not_fit_go_to_further_tables_with_the_first(least, width):
    tables = dealt(least, width)
    assert [at for table in tables for at in (table if table is tables[0] else table[1:])] == list(range(len(least)))
    assert all(table[0] == 0 for table in tables)
    for table in tables:
        assert sum(least[at] + 3 for at in table) <= width or len(table) <= 2


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 50)), min_size=1, max_size=10), st.integers(10, 300))
def test_widths_are_at_least_what_words_need_and_use_what_there_is(pairs, width):
    least, most = [a for a, _ in pairs], [a + b for a, b in pairs]
    widths = fitted(least, most, width)
    total = sum(widths) + 3 * len(widths)
    if sum(least) + 3 * len(least) <= width:
        assert all(low <= own <= high for low, own, high in zip(least, widths, most, strict=True))
        assert total == width or widths == most
    else:
        assert total == width or max(widths) == 1


@pytest.mark.parametrize("width", [20, 40, 80, 100, 200])
def test_no_word_of_a_table_is_cut_or_left_out(width, monkeypatch):
    screen, text = screen_of(monkeypatch, False, COLUMNS=str(width))
    columns = ("criterion", *(f"{level / 10} % of weights" for level in range(24)))
    rows = [("magnitude_increase", *(f"{number}.5" for number in range(24))), ("random", *("97.1" for _ in range(24)))]
    print_table(screen, "accuracy by criterion", columns, rows)
    shown = text.getvalue()
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    squeezed = "".join(shown.split())
    for number in range(24):
        assert f"{number}.5" in squeezed
    if width >= 80:
        assert "magnitude_increase" in shown


@pytest.mark.parametrize("columns", ["80", "60"])
def test_figures_are_listed_whole_in_a_narrow_terminal(columns, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("COLUMNS", columns)
    assert run_command(["figures", "--dataset", "digits", "--results", str(tmp_path / "none")], CATALOGUE) == OK
    shown = capsys.readouterr().out
    assert "…" not in shown
    for name in CATALOGUE:
        assert any(line.startswith(f"{name} ") for line in shown.splitlines())


class Gone(io.StringIO):
    """A pipe of which the reader goes after some words."""

    def __init__(self, words: int, error: OSError) -> None:
        super().__init__()
        self._left, self._error = words, error

    def write(self, text: str) -> int:
        if not self._left:
            raise self._error
        self._left -= 1
        return super().write(text)


def test_output_that_goes_is_gone_without_and_said_once(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Gone(2, BrokenPipeError()))
    with lasting_output() as output:
        output.word = "nobody reads"
        for number in range(10):
            print(number)
        Screen().print("more")
        assert isinstance(output.lost, BrokenPipeError)
    assert capsys.readouterr().err == "supermask: nobody reads\n"


def test_what_takes_long_says_that_nobody_reads_it_any_more(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    for command in ("reproduce", "figures"):
        monkeypatch.setattr(sys, "stdout", Gone(0, BrokenPipeError()))
        options = ["--dataset", "digits"] + ["--dry-run"] * (command == "reproduce")
        assert run_command([command, "dsd", *options], CATALOGUE) == OK
        said = capsys.readouterr().err
        assert said == (f"supermask: {GOES_ON}\n" if command == "reproduce" else ""), command
    assert parser_of(CATALOGUE, []).parse_args(["explore"]).goes_on == GOES_ON


def test_a_full_disk_behind_the_output_fails_and_is_said(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", Gone(1, OSError(28, "No space left on device")))
    assert run_command(["figures", "--dataset", "digits"], CATALOGUE) == FAILED
    assert capsys.readouterr().err == (
        "supermask: standard output cannot be written: No space left on device; going on without it\n"
    )


def test_an_output_is_otherwise_the_stream_that_it_is():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    output = Output(stream)
    assert output.encoding == "latin-1"
    assert not output.isatty()


def test_pipes_that_close_and_outputs_that_are_full_or_closed_end_in_no_traceback(tmp_path):
    """Several in one: each is a process of its own."""
    figures = "supermask figures dsd --dataset digits"
    ended = shell(f"{figures} | true; echo ${{PIPESTATUS[0]}} >&2; {figures} >&-; echo $? >&2", tmp_path)
    assert ended.stderr.decode().splitlines() == ["0", "0"]
    if Path("/dev/full").exists():
        ended = shell(f"{figures} > /dev/full", tmp_path)
        assert ended.returncode == FAILED
        assert b"No space left on device" in ended.stderr
        assert b"Traceback" not in ended.stderr
        assert b"Exception ignored" not in ended.stderr
