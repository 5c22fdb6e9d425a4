"""What a failure of the operating system means for the user, in one sentence."""

import errno
import os
import re
from pathlib import Path

from safetensors import SafetensorError

from mfr.runtime import paths

# Exceptions that can be a failure of the system. A library may give one only as the text of its own exception.
FAILURES = (OSError, MemoryError, RuntimeError, SafetensorError)
WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_ACCESS = "permission denied; change its owner or its permissions, which `ls -ld` shows"
_UNREACHABLE = "its disk or network folder does not answer; check that it is mounted, and run again"
_MEANING = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "your quota of this disk is used up; free some space and run again",
    errno.EFBIG: "larger than the disk's file system or `ulimit -f` allows; raise the limit, or use another disk",
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.EROFS: "on a read-only file system; mount it writable, or link the folder to another disk",
    errno.EISDIR: "a folder, where a file belongs; move it elsewhere",
    errno.EEXIST: "a file, where a folder belongs; move it elsewhere",
    errno.ENOTEMPTY: "another process writes into this folder; stop it and run again",
    errno.EBUSY: "in use, perhaps as a mount point; mount a folder above it instead, or stop what uses it",
    errno.EMFILE: "too many open files in this process; raise the limit that `ulimit -n` shows",
    errno.ENFILE: "too many open files on this machine; end other programs and run again",
    errno.ENAMETOOLONG: "the name is too long for this disk; shorten it, or move the project to a shorter path",
    errno.ELOOP: "links that lead in a circle; remove one of them",
    errno.EIO: "reading or writing failed (input/output error); check the disk, as with `dmesg`, before you run again",
    errno.ESTALE: "the network folder was replaced on its server (stale file handle); mount it again and run again",
    errno.ENOTCONN: _UNREACHABLE,
    errno.ETIMEDOUT: _UNREACHABLE,
    errno.EHOSTDOWN: _UNREACHABLE,
    errno.ENODEV: _UNREACHABLE,
    errno.ENXIO: _UNREACHABLE,
    errno.EREMOTEIO: _UNREACHABLE,
    errno.EPIPE: "the program that reads this output has ended; run again without it",
    errno.EAGAIN: "the system has no process or thread left to give; end other programs and run again",
}
_MEMORY = (
    "memory ran out; use a machine with more, end other programs, or lower what this stage holds at once in params.yaml: "
    "execution.workers, a batch size, the number or size of SAEs"
)
_OF_CLASS = {
    FileNotFoundError: errno.ENOENT,
    PermissionError: errno.EACCES,
    IsADirectoryError: errno.EISDIR,
    NotADirectoryError: errno.ENOTDIR,
    FileExistsError: errno.EEXIST,
}
_NUMBER = re.compile(r"(?:os error|errno)[ =]*(\d+)", re.IGNORECASE)
_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # numpy, which gives no number
_NO_MEMORY = re.compile(r"out of memory|allocate memory|bad_alloc", re.IGNORECASE)
_QUOTED = re.compile(r"""['"]([^'"]+)['"]""")
_TEXT_LENGTH = 200


def explained(error: BaseException) -> str | None:
    """`file: what is wrong; what to do` for a failure of the system; None for any other error, which is a bug."""
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error))):
        return _MEMORY
    if isinstance(error, OSError):
        return _explained(error)
    if isinstance(error.__cause__, OSError):
        return _explained(error.__cause__)
    if found := _NUMBER.search(str(error)):
        return _explained(OSError(int(found[1]), os.strerror(int(found[1]))))
    return None


def number_of(error: OSError) -> int | None:
    """The system's error number, also of an exception that has it only in its text or its class."""
    if error.errno is not None:
        return error.errno
    if _SHORT_WRITE.search(str(error)):
        return errno.ENOSPC
    if found := _NUMBER.search(str(error)):
        return int(found[1])
    return next((number for kind, number in _OF_CLASS.items() if isinstance(error, kind)), None)


def _explained(error: OSError) -> str:
    number, text, where = number_of(error), _first_line(error), _where(error)
    if number == errno.ENOMEM:
        return _MEMORY
    if number is None or (number == errno.ENOENT and not where):
        return f"reading or writing failed ({text}); check what this names, and run again"
    if number == errno.ENOENT:
        what = _missing(where)
    elif number == errno.ENOTDIR:
        what = _beneath_a_file(where)
    else:
        unknown = f"reading or writing failed ({os.strerror(number).lower()}); check what this names, and run again"
        what = _MEANING.get(number, unknown)
    return f"{where}: {what}" if where else what


def _where(error: OSError) -> str:
    """The file that an error is about, or the note that says what was being made; empty if there is neither."""
    name = error.filename2 or error.filename
    if isinstance(name, str | bytes | os.PathLike):
        return os.fsdecode(name)
    quoted = _QUOTED.search(_first_line(error))
    return quoted[1] if quoted else next(iter(getattr(error, "__notes__", ())), "")


def _missing(where: str) -> str:
    maker = paths.maker(Path(where))
    return f"no such file; run {maker} first" if maker else "no such file; check the path"


def _beneath_a_file(where: str) -> str:
    files = [str(parent) for parent in Path(where).parents if parent.exists() and not parent.is_dir()]
    return f"{files[0] if files else 'a part of the path'} is a file, where a folder belongs; move it elsewhere"


def _first_line(error: OSError) -> str:
    return (error.strerror or str(error) or type(error).__name__).partition("\n")[0][:_TEXT_LENGTH]
