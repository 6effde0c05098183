"""Finds what looks like a secret in source text, so that it is not shown to a model unasked: keys, tokens, passwords, files of such.

A token with a telling form (`AKIA…`, `ghp_…`) counts wherever it stands. A password counts where a name that says so is given a
literal that no word, path or placeholder looks like: mixed characters, and enough entropy a character. What is found is named by kind and
line, never repeated."""

from __future__ import annotations

import bisect
import collections
import math
import re
from collections.abc import Iterator
from typing import NamedTuple

MIN_ENTROPY = 3.0
"""Bits a character of a literal given to a password, token or key: English words have 2 to 3, random text of 16 characters 3.5 and more."""
MIN_LENGTH, LONG = 8, 20
"""Characters of such a literal. From LONG on it needs no other signs than digits or capitals among letters."""


class Secret(NamedTuple):
    """Where something secret seems to stand: lines from 1, inclusive."""

    first_line: int
    last_line: int
    kind: str


_FILE_NAMES = {  # names without folders, in lower case, of files that hold little else
    **dict.fromkeys((".env", ".envrc"), "environment file"), **dict.fromkeys((".netrc", "_netrc"), "netrc file"),
    **dict.fromkeys((".pgpass", "pgpass.conf"), "PostgreSQL passwords"),
    **dict.fromkeys((".my.cnf", ".mylogin.cnf"), "MySQL passwords"),
    **dict.fromkeys(("kubeconfig", "kubeconfig.yaml", "kubeconfig.yml"), "kubeconfig"),
    **dict.fromkeys((".git-credentials", ".htpasswd", ".pypirc", ".npmrc", ".dockercfg", ".vault-token", ".s3cfg", ".boto"),
                    "credentials file"),
}
_ENDINGS = {
    **dict.fromkeys((".key", ".pem", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".asc", ".gpg"), "key file"), ".ppk": "SSH key",
    ".env": "environment file", ".kubeconfig": "kubeconfig", **dict.fromkeys((".tfstate", ".tfstate.backup", ".tfvars"), "Terraform state"),
    **dict.fromkeys(("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk", "_rsa"), "SSH key"),
}
_CREDENTIALS = ("secret", "secrets", "credential", "credentials")
_SETTINGS = (".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".txt", ".env", ".properties")
_FOLDERS = (".ssh", ".aws", ".kube", ".gnupg", ".docker", ".azure")
_TEMPLATES = (".example", ".sample", ".template", ".dist", ".test", ".default", ".defaults", ".schema")

_KEY = rb"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_FORMS = (  # (kind, one of these is there, the form)
    ("AWS access key", (b"AKIA", b"ASIA", b"ABIA", b"ACCA"), rb"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
    ("AWS secret key", (b"aws", b"AWS"), rb"(?:aws|AWS)[^\n]{0,30}?[\"'= :](?=[A-Za-z0-9/+]{0,39}[0-9/+])(?=[A-Za-z0-9/+]{0,39}[a-z])"
                                         rb"(?=[A-Za-z0-9/+]{0,39}[A-Z])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"),
    ("GitHub token", (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"), rb"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
    ("GitHub token", (b"github_pat_",), rb"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b"),
    ("GitLab token", (b"glpat-", b"gldt-", b"glrt-", b"glcbt-", b"glptt-"), rb"\bgl(?:pat|dt|rt|cbt|ptt)-[A-Za-z0-9_-]{20,}"),
    ("Slack token", (b"xox", b"xapp-"), rb"\bxox[abeoprs]-[0-9A-Za-z-]{10,}|\bxapp-\d-[A-Z0-9]+-\d+-[a-z0-9]{20,}"),
    ("Slack webhook", (b"hooks.slack.com",), rb"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Z0-9]{8,}/[A-Za-z0-9/]{20,}"),
    ("Google API key", (b"AIza",), rb"\bAIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])"),
    ("Google OAuth secret", (b"GOCSPX-", b"ya29."), rb"\bGOCSPX-[A-Za-z0-9_-]{28}|\bya29\.[A-Za-z0-9_-]{40,}"),
    ("Stripe key", (b"k_live_", b"k_test_", b"whsec_"), rb"\b[sr]k_(?:live|test)_[0-9a-zA-Z]{20,}|\bwhsec_[A-Za-z0-9+/]{32,}"),
    ("npm token", (b"npm_", b"_authToken="),
     rb"\bnpm_[A-Za-z0-9]{36}\b|_authToken=[\"']?[A-Za-z0-9_/+.-]{20,}"),
    ("PyPI token", (b"pypi-",), rb"\bpypi-[A-Za-z0-9_-]{50,}"),
    ("OpenAI key", (b"sk-",),
     rb"\bsk-(?:(?:proj|svcacct|admin)-[A-Za-z0-9_-]{40,}|[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}|[A-Za-z0-9]{48}\b)"),
    ("Anthropic key", (b"sk-ant-",), rb"\bsk-ant-[A-Za-z0-9_-]{40,}"),
    ("Hugging Face token", (b"hf_",), rb"\bhf_[A-Za-z0-9]{34,}\b"),
    ("SendGrid key", (b"SG.",), rb"\bSG\.[\w-]{22}\.[\w-]{43}"),
    ("Twilio key", (b"SK", b"AC"), rb"\b(?:SK|AC)(?=[0-9a-f]{0,31}\d)(?=[0-9a-f]{0,31}[a-f])[0-9a-f]{32}\b"),
    ("DigitalOcean token", (b"_v1_",), rb"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    ("Telegram token", (b":AA",), rb"\b\d{8,10}:AA[A-Za-z0-9_-]{33}\b"),
    ("Azure storage key", (b"AccountKey=", b"SharedAccessKey="), rb"(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,}={0,2}"),
    ("JSON web token", (b"eyJ",), rb"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{16,}"),
    ("private key", (b"PRIVATE KEY",), _KEY + rb"[^-]{40,16000}(?:-----END[^-\n]{0,60}-----)?"),
)
_BASE64_LINE = rb"[A-Za-z0-9+/=]{32,}"
_EXAMPLE = rb"(?i)EXAMPLE|SAMPLE|(.)\1{7}|\bX{4}|x{6}|\*{4}|1234567890|0123456789|abcdefgh|\.\.\."

_WORDS = tuple(word.encode() for word in """
    passw passphrase pwd secret token apikey api_key api-key access_key access-key accesskey auth_key auth-key account_key
    private_key private-key encryption_key signing_key shared_key credential
""".split())
"""What names of secrets hold, in any case; looked up one by one, which is ten times as fast as one pattern of all."""
_GIVEN = (  # after the word: the rest of the name, and the literal that it is given
    rb"(?i)(?:or[dt]|d)?(?:s|[_-]?(?:key|value|string|base64|hex|id|[0-9]{1,2}))?[\"']?\]?"
    rb"(?:[ \t]*:[ \t]*[A-Za-z_][\w\[\]. |]{0,40}?)?[ \t]*(?::=|=>|[:=])[ \t]*"
    rb"[bru]{0,2}(?P<quote>[\"'`])(?P<literal>[^\"'`\s]{8,200})(?P=quote)")
_PLAIN_GIVEN = (  # the same without quotes, in files that hold settings
    rb"(?im)(?:or[dt]|d)?(?:s|[_-]?key)?[ \t]*[:=][ \t]*(?P<literal>[^\"'`\s#]{8,200})[ \t]*$")
_SETTINGS_FILE = r"(?i)\.(?:ya?ml|ini|cfg|conf|config|properties|toml|env|tf|ps1|sh)\Z|(?:^|/)\.env|config\Z"
_URL = rb"://[^/\s:@\"'<>{}$]{1,64}:(?P<literal>[^/\s:@\"'<>{}$%*]{6,100})@[\w.-]{2,}"

_NO_SECRET = (  # literals that are names, places or stand-ins for a secret
    rb"(?i)[<>{}()\[\]]|^[$%]|\$[{(]|%[(sd]|\\|://|/.*/|^[./~-]|\.{3}|\*{3}|^[a-z_-]+$|^[\w-]+(?:\.[\w-]+)+$|^[a-z]+(?:[_:.-][a-z0-9]*)+$|"
    rb"example|sample|dummy|fake|change|your|placeholder|redacted|secret|passw|token|passphrase|api_?key|test|foo|bar|hello|admin|user|"
    rb"default|insert|replace|none|null|true|false|undefined|abc|123|xyz|qwert|x{3}|0{4}|(.)\1{3}|^[A-Z][a-z]+(?:[A-Z][a-z]+)*\d{0,2}$|"
    rb"^[a-z]+(?:[A-Z][a-z]+)+$|^#|\w@\w+\.|,|;|^\d[\d.-]*$|=.")


def file_kind(path: str) -> str | None:
    """What a file of this name holds that should stay secret; None for an ordinary one."""
    folder, _, name = path.lower().rpartition("/")
    if name.endswith((".pub", ".md", *_TEMPLATES)):
        return None
    if name in _FILE_NAMES:
        return _FILE_NAMES[name]
    if name.startswith(".env."):
        return "environment file"
    stem, dot, ending = name.partition(".")
    if (stem in _CREDENTIALS and dot + ending in ("", *_SETTINGS)) or folder.rpartition("/")[2] in _FOLDERS:
        return "credentials file"
    return next((kind for end, kind in _ENDINGS.items() if name.endswith(end)), None)


def entropy(literal: bytes) -> float:
    """Bits a character, by how often each occurs."""
    return -sum(count / len(literal) * math.log2(count / len(literal)) for count in collections.Counter(literal).values())


def _is_random(literal: bytes) -> bool:
    """Whether a literal looks made by chance: no word or stand-in, characters of several sorts, enough entropy."""
    if len(literal) < MIN_LENGTH or re.search(_NO_SECRET, literal) or entropy(literal) < MIN_ENTROPY:
        return False
    sorts = [re.search(sort, literal) is not None for sort in (rb"[a-z]", rb"[A-Z]", rb"[0-9]", rb"[^A-Za-z0-9]")]
    if len(literal) >= LONG:
        return sum(sorts) >= 2
    changes = sum(a.isalpha() != b.isalpha() for a, b in zip(map(chr, literal), map(chr, literal[1:]), strict=False))
    return sum(sorts) >= 3 or (sum(sorts) == 2 and sorts[2] and changes >= 3)


def _found(path: str, data: bytes) -> Iterator[tuple[int, int, str]]:
    """(first byte, last byte, kind) of everything secret in `data`."""
    for kind, signs, form in _FORMS:
        if any(sign in data for sign in signs):
            for match in re.finditer(form, data):
                text = match.group()
                body = text.partition(b"KEY-----")[2] if kind == "private key" else b""
                if body and sum(map(len, re.findall(_BASE64_LINE, body.replace(b"\\n", b"\n")))) < 64:
                    continue  # a header that code compares with
                if body or not re.search(_EXAMPLE, text):
                    yield match.start(), match.end() - 1, kind
    # Patterns are compiled when they are first needed: that takes longer than to search a file.
    patterns = [re.compile(pattern) for pattern in ((_GIVEN, _PLAIN_GIVEN) if re.search(_SETTINGS_FILE, path) else (_GIVEN,))]
    lowered = data.lower()
    for word in _WORDS:
        at = lowered.find(word)
        while at >= 0:
            at += len(word)
            for pattern in patterns:
                match = pattern.match(data, at)
                if match and _is_random(match["literal"]):
                    yield match.start("literal"), match.end("literal") - 1, "password or key"
            at = lowered.find(word, at)
    for match in re.finditer(_URL, data):
        if _is_random(match["literal"]):
            yield match.start("literal"), match.end("literal") - 1, "password in an address"


def secrets_in(path: str, data: bytes) -> list[Secret]:
    """What looks secret in the text of a file, by its first line; a line counts once. `path` tells what sort of file it is."""
    spans = sorted(_found(path, data))
    if not spans:
        return []
    starts = [0, *(match.end() for match in re.finditer(rb"\n", data))]
    by_line: dict[int, Secret] = {}
    for first, last, kind in spans:
        secret = Secret(bisect.bisect_right(starts, first), bisect.bisect_right(starts, last), kind)
        by_line.setdefault(secret.first_line, secret)
    return list(by_line.values())
