# Makes the virtual environment that demo.sh and test.sh run in; sourced by both.
# environment EXTRAS: installs this checkout, with EXTRAS such as "[test]", into $AAL_VENV (default: .venv).
environment() {
    local venv="${AAL_VENV:-.venv}" python="${PYTHON:-python3}"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "Python 3.11 or later is needed; name one in the variable PYTHON" >&2
        return 2
    }
    [ -d aal/callbacks ] && [ -d aal/datamodules ] && [ -d aal/configs ] || {
        echo "aal/callbacks, aal/datamodules and aal/configs must be links to folders: unpack with symbolic links, or clone" >&2
        return 2
    }
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    # What is installed is known by pyproject.toml, the extras and this folder: the same need not be installed again.
    local wanted installed="$venv/.installed"
    wanted="$(cat pyproject.toml) $1 $PWD"
    if [ "$(cat "$installed" 2>/dev/null)" != "$wanted" ]; then
        echo "installing into $venv (torch is large: minutes the first time)" >&2
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".$1"
        printf '%s' "$wanted" >"$installed"
    fi
    PATH="$(cd "$venv/bin" && pwd):$PATH"
    export PATH
}
