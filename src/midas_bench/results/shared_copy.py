"""A run's JSON -> a copy for others: without host names, user names and folders, and with every figure.

Keys that name a host or a user are left out. Everywhere else, in keys and in values, a path loses its folders, and
known names are replaced. Known are the names that the file itself gives away, those of this machine, and those that
the user adds. Models that were compared are numbered: their names are those of the user's files and folders.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import quote

from midas_bench.errors import printable
from midas_bench.results.kinds import KINDS, RatioBounds, RssSamples, StepTime
from midas_bench.results.load_records import LoadPoint
from midas_bench.results.record import CellNoise, Interface, Percentiles, PhotoRecord, Weights
from midas_bench.results.struct_reader import keys_of

HOST_KEYS = frozenset(("node", "nodename", "node_name", "host", "hostname", "host_name", "fqdn"))
USER_KEYS = frozenset(
    ("user", "username", "user_name", "login", "owner", "author", "author_name", "email", "author_email")
)
PLACE_KEYS = frozenset(
    ("home", "cwd", "pwd", "rootdir", "rootpath", "invocation_dir", "argv", "cmdline", "command_line", "commandline",
     "command", "executable", "environ")
)  # fmt: skip
PATH_KEYS = frozenset(("file", "path", "folder", "logs", "checkpoint", "cache_dir"))
"""Their values are paths as a whole, so that a relative one loses its folders too."""
OF_COMMIT = frozenset(("id", "time", "author_time", "dirty"))
"""What stays of `commit_info`: its project and branch are names that people chose."""

OWN_TEXT = """
benchmarks machine_info commit_info midas_bench datetime schema status planned finished failed skipped cell conditions
complete partial unknown system release processor node python_implementation python_implementation_version
python_version python_compiler python_build arch_string arch_string_raw raw_arch_string bits count vendor_id
vendor_id_raw brand_raw hz_advertised_friendly hz_actual hardware_raw flags stepping family l1_data_cache_size
l1_instruction_cache_size l2_cache_line_size l2_cache_associativity l3_cache_size cpuinfo_version
cpuinfo_version_string fingerprint cpu_model isa physical_cores logical_cores allowed_cores cpu_quota memory_bytes
memory_limit_bytes governor turbo virtualised board core_kinds usable_kinds cores max_mhz capacity clock now_mhz
limit_mhz governors throttling since_start environment versions branch author_time dirty group name fullname params
param extra_info options stats timer perf_counter disable_gc min_rounds max_time min_time warmup q1 q3 iqr_outliers
stddev_outliers ld15iqr hd15iqr ops total iterations cprofile load_average busy_cores steal_fraction available_bytes
swap_used_bytes on_battery hungry involuntary_switches_per_call page_faults_per_call test_pipeline test_article
test_inference test_stages test_decode test_preprocess test_heatmap test_memory test_startup test_stream test_threads
test_scenes test_ratios test_peers test_service import steady eager jit frozen onnx openvino int8 bf16 f32 fast warm
empty official seeded street indoor pet portrait own closed-loop open-loop soak full short SingleStream MultiStream
Offline Server photo Linux Darwin Windows x86_64 AMD64 aarch64 arm64 CPython PyPy GenuineIntel AuthenticAMD Intel EPYC
Xeon torch torchvision timm onnxruntime numpy opencv-python-headless pillow pytest-benchmark mlcommons-loadgen nncf
model nchw nhwc float16 float32 uint8 inverse depth test_floor
root user users home host localhost
"""
"""Keys and values that reports rest on, and words that every machine knows. They give nobody away, so a host or a user
of such a name keeps it."""

LETTER = r"[^\W\d_]"
LEAST_LETTERS = 2
ALONE_BELOW = 4
"""Shorter names are replaced where no letter stands beside them: others would be found within usual words."""

HOME = re.compile(
    r"(?:/(?:home|Users)/|[A-Za-z]:[\\/]+(?:Users|Documents and Settings)[\\/]+)([^\\/\n]+)([\\/]?)"
    r"|(?<![\w.])~([\w.-]+)(?=/)"
)
"""Where a path tells the name of a user: up to the next slash, if there is one."""
AFTER_NAME = re.compile(r"[\s:;,'\"`<>|)\]]")
"""What ends a name at the end of a path."""
PATH_START = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/]*"  # a URL, and its host
    r"|(?<![A-Za-z])[A-Za-z]:[\\/]"  # a drive of Windows
    r"|\\\\(?=[^\s\\])"  # a host's share there
    r"|(?<![\w.%)\]}/~-])//?(?=[^\s/])"  # from the root; no quotient such as images/s
    r"|/(?=(?:home|Users|root|tmp|var|opt|usr|mnt|media|srv|Volumes|private|workspace)/)"
    r"|(?<!\w)-[A-Za-z]/(?=[^\s/])"  # a compiler's flag
    r"|(?<![\w.])~[\w.-]*/"
    r"|(?<![\w.])\.{1,2}[\\/]"
)
ADDRESS = re.compile(r"[\w.+-]+@[A-Za-z][\w-]*(?:\.[\w-]+)*")
"""Of mail, or of a user on a host; not the clock rate in a CPU's name, which begins with a digit."""
IP_ADDRESS = re.compile(r"(?<![\w.-])(?:\d{1,3}\.){3}\d{1,3}(?![\w.-])")
VERSION = re.compile(r"[\d.]+")
CELL_ID = re.compile(r"(?<=\.py)::")
"""Between a benchmark's file and its name, which may hold a quotient."""


@dataclass(frozen=True)
class Names:
    """Names to be taken out: of hosts, of users, of compared models in their order, and others."""

    hosts: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    models: tuple[str, ...] = ()

    def __or__(self, more: Names) -> Names:
        return Names(
            self.hosts | more.hosts, self.users | more.users, self.others | more.others, self.models + more.models
        )


@dataclass(frozen=True)
class SharedCopy:
    """A copy, and what was done for it.

    Attributes:
        content: JSON types.
        left_out: keys that were left out.
        changed: texts that lost a name or a folder.
    """

    content: Any
    left_out: tuple[str, ...]
    changed: int


def shared_copy(content: object, names: Names) -> SharedCopy:
    """Return a copy of parsed JSON without names and folders; `names` are known beside those in it.

    Texts that differ still differ afterwards: what would become the same is numbered.
    """
    copier = _Copier(names | names_in(content))
    kept = copier.kept(content)
    copier.learn(_texts(kept))
    return SharedCopy(copier.copy(kept), tuple(sorted(copier.left_out)), copier.changed)


def file_name(name: str, content: object, names: Names) -> str:
    """Return a file's name without the names that its content gives away, and others."""
    return _Copier(names | names_in(content)).without_names(name)


def is_removable(word: str) -> bool:
    """Tell whether a word can be taken out of a file without harm: it has two letters and is no word of the suite."""
    letters = re.findall(LETTER, word)
    return len(letters) >= LEAST_LETTERS and word.casefold() not in own_words()


@cache
def own_words() -> frozenset[str]:
    """Return the words that a file of this suite is made of, in small letters: its keys, and what they are made of."""
    parts = (PhotoRecord, Weights, Interface, CellNoise, Percentiles, RatioBounds, RssSamples, StepTime, LoadPoint)
    keys = {key.encode_name for record in (*KINDS.values(), *parts) for key in keys_of(record)}
    whole = {word.casefold() for word in (*keys, *KINDS, *OWN_TEXT.split())}
    return frozenset(whole.union(*(re.findall(f"{LETTER}+", word) for word in whole)))


def names_in(content: object) -> Names:
    """Return the names that a file gives away by its keys, and by paths of home folders."""
    hosts, users = set[str](), set[str]()
    for key, text in _keyed_texts(content):
        hosts |= {text} if key in HOST_KEYS else set()
        users |= {text} if key in USER_KEYS else set()
        for whole, slash, short in HOME.findall(text):
            users |= {AFTER_NAME.split(whole)[0], short, whole if slash else ""}
    ours = content.get("midas_bench") if isinstance(content, Mapping) else None
    models = ours.get("models") if isinstance(ours, Mapping) else None
    return Names(
        frozenset(filter(None, hosts)),
        frozenset(filter(None, users)),
        models=tuple(models) if isinstance(models, Mapping) else (),
    )


def _normal(key: str) -> str:
    return key.casefold().replace("-", "_")


def _keyed_texts(value: object, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every text with the key that it stands under; a key itself stands under none."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield "", name
            yield from _keyed_texts(item, _normal(name))
    elif isinstance(value, list):
        for item in value:
            yield from _keyed_texts(item, key)


def _texts(value: object) -> Iterator[str]:
    return (text for key, text in _keyed_texts(value) if key not in PATH_KEYS)


def _forms(name: str) -> set[str]:
    """Return how a name may be written: composed or not, in pytest's ids, in URLs, and in our own messages."""
    composed = {unicodedata.normalize(form, name) for form in ("NFC", "NFD")}
    escaped = {form.encode("unicode-escape").decode("ascii") for form in composed}
    quoted = {quote(form, errors="surrogatepass") for form in composed}
    return {form for form in {*composed, *escaped, *quoted, printable(name)} if form.strip()}


def _host_forms(host: str) -> set[str]:
    """Return a host's whole name, its own part and its domain."""
    own, _, domain = host.strip().partition(".")
    return {name for name in (host.strip(), own, domain if "." in domain else "") if name}


@dataclass
class _Copier:
    names: Names
    left_out: set[str] = field(default_factory=set)
    changed: int = 0
    _shown: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        words = {name: f"model-{number}" for number, name in enumerate(self.names.models, start=1)}
        words |= {name: "[host]" for host in self.names.hosts for name in _host_forms(host)}
        words |= {name.strip(): "[user]" for name in self.names.users}
        words |= {name.strip(): "[removed]" for name in self.names.others}
        forms = {form: shown for word, shown in words.items() if is_removable(word) for form in _forms(word)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_found_as, longest_first)), re.IGNORECASE) if forms else None
        self._removed = {form.casefold(): shown for form, shown in forms.items()}

    def kept(self, value: Any, key: str = "") -> Any:
        """Return a value without the keys that are left out."""
        if isinstance(value, Mapping):
            dropped = {name for name in value if _normal(name) in HOST_KEYS | USER_KEYS | PLACE_KEYS}
            dropped |= set(value) - OF_COMMIT if key == "commit_info" else set()
            self.left_out |= dropped
            return {name: self.kept(item, name) for name, item in value.items() if name not in dropped}
        return [self.kept(item) for item in value] if isinstance(value, list) else value

    def learn(self, texts: Iterable[str]) -> None:
        """Decide what each text becomes; those that stay as they are keep their place before all others."""
        every = list(dict.fromkeys(texts))
        bare = {text: self.without_names(without_folders(text)) for text in every}
        taken = {text for text in every if bare[text] == text}
        self._shown = {text: text for text in taken}
        for text in every:
            if text in taken:
                continue
            shown, number = bare[text], 1
            while shown in taken:
                number += 1
                shown = f"{bare[text]} ({number})"
            taken.add(shown)
            self._shown[text] = shown

    def copy(self, value: Any, key: str = "") -> Any:
        """Return a value with what its texts become."""
        if isinstance(value, str):
            shown = self.without_names(base_name(value)) if key in PATH_KEYS else self._shown[value]
            self.changed += shown != value
            return shown
        if isinstance(value, Mapping):
            return {self.copy(name): self.copy(item, _normal(name)) for name, item in value.items()}
        return [self.copy(item, key) for item in value] if isinstance(value, list) else value

    def without_names(self, text: str) -> str:
        """Return a text with a word in brackets in place of each name."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: self._removed.get(found[0].casefold(), "[removed]"), text)


def _found_as(name: str) -> str:
    """Return the pattern of a name: anywhere, but without a letter beside it if it is part of the suite's words."""
    within_own = any(name.casefold() in word for word in own_words())
    if len(name) >= ALONE_BELOW and not within_own:
        return re.escape(name)
    return f"(?<!{LETTER}){re.escape(name)}(?!{LETTER})"


def base_name(path: str) -> str:
    """Return the last part of a path, whatever system it is of."""
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]


def without_folders(text: str) -> str:
    """Return a text without the folders of a path in it, without addresses, and with the path's last part.

    From where a path begins, all is left out up to the last slash: a folder's name may hold any character, and so its
    end cannot be told.
    """
    parts: Sequence[str] = CELL_ID.split(text)
    bare = "::".join(map(_without_folders, parts))
    bare = ADDRESS.sub("[user]", bare)
    return bare if VERSION.fullmatch(bare) else IP_ADDRESS.sub("[host]", bare)


def _without_folders(text: str) -> str:
    start = PATH_START.search(text)
    if start is None:
        return text
    end = max(start.end(), text.rfind("/") + 1, text.rfind("\\") + 1)
    return text[: start.start()] + text[end:]
