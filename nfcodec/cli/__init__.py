"""The command line: parse, call :mod:`nfcodec.api`, print, return an exit code. One file per verb."""
