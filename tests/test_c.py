"""The C tests and a whole generation in C: as built, under the sanitizers, under valgrind, and with allocations counted.

Each kind of build is made once, in a temporary folder, from the sources beside this file."""

from __future__ import annotations

import os
import platform
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")  # the small pack is exported from a torch model

from cromwell import binding  # noqa: E402
from tests.engine_models import FORMATS, WHOLE, random_model, write_pack  # noqa: E402
from training import export  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = sorted(path.stem for path in (ROOT / "libcromwell" / "tests").glob("test_*.c"))
TOOLS = os.pathsep.join((os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)))
CC = shutil.which(os.environ.get("CC", "cc"), path=TOOLS)
CMAKE = shutil.which("cmake", path=TOOLS)
ENVIRONMENT = os.environ | {
    "PATH": TOOLS,
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}

pytestmark = [
    pytest.mark.skipif(not PROGRAMS, reason="the C sources are not beside the tests"),
    pytest.mark.skipif(CC is None or CMAKE is None, reason="needs a C compiler and cmake (Debian: gcc, cmake)"),
]


def run(*command: object, seconds: float = 900) -> str:
    """Output of a command, which must end in time and well."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=seconds, env=ENVIRONMENT)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
    return done.stdout


def require_sanitizer(name: str, folder: Path) -> None:
    """Skips when the compiler has no such sanitizer; fails when it has but its run-time library is missing."""
    source = folder / "probe.c"
    source.write_text("int main(void) { return 0; }\n")
    flag = f"-fsanitize={name}"
    compiled = subprocess.run([CC, flag, "-c", source, "-o", folder / "probe.o"], capture_output=True, text=True)
    if compiled.returncode != 0:
        pytest.skip(f"{CC} knows no {flag}: {compiled.stderr.strip()}")
    linked = subprocess.run([CC, flag, source, "-o", folder / "probe"], capture_output=True, text=True)
    if linked.returncode != 0:
        pytest.fail(f"{CC} accepts {flag} but cannot link with it: no run-time library (Debian: libgcc-12-dev)\n{linked.stderr}")


def build(folder: Path, *options: str) -> Path:
    """Builds the C tests with cmake options; returns the folder that holds the programs."""
    generator = ["-G", "Ninja"] if shutil.which("ninja", path=TOOLS) else []
    run(CMAKE, "-S", ROOT, "-B", folder, *generator, f"-DPython_EXECUTABLE={sys.executable}", "-DCROMWELL_TESTS=ON", *options)
    run(CMAKE, "--build", folder, "--target", "c_tests", "--parallel", len(os.sched_getaffinity(0)))
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return build(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sanitized")
    require_sanitizer("address,undefined", folder)
    return build(folder, "-DCROMWELL_SANITIZE=ON")


@pytest.fixture(scope="module")
def thread_sanitized(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thread")
    require_sanitizer("thread", folder)
    return build(folder, "-DCROMWELL_TSAN=ON")


@pytest.fixture(scope="module", params=FORMATS)
def pack(request, tmp_path_factory):
    """A random model of about 1 MB with every part, its matrices in each of the formats."""
    config = FORMATS[request.param]
    return write_pack(random_model(config), config, request.param, tmp_path_factory.mktemp("pack") / f"{request.param}.cwm")


@pytest.fixture(scope="module")
def light_pack(tmp_path_factory):
    """One with the least vision encoder, for valgrind, where a fused multiply-add costs a hundred times its time."""
    least = {"stem_channels": 4, "cnn_channels": 8, "expansion": 1, "hidden": 16, "mlp": 16, "layers": 1, "global_layers": []}
    config = WHOLE | {"vision": WHOLE["vision"] | least}
    return write_pack(random_model(config), config, "q8", tmp_path_factory.mktemp("pack") / "light.cwm")


@pytest.fixture(scope="module")
def isas():
    """The instruction sets that this machine has, best first."""
    found = []
    for name in ("avx512vnni", "avx2", "scalar"):
        try:
            binding.isa_select(name)
        except binding.CromwellError as error:
            assert error.status == binding.STATUS_ISA
            continue
        found.append(name)
    binding.isa_select(None)
    return found


def fixed_addresses() -> list[str]:
    """The thread sanitizer of older compilers refuses address layouts that newer kernels choose."""
    setarch = shutil.which("setarch")
    usable = setarch and subprocess.run([setarch, platform.machine(), "-R", "true"], capture_output=True).returncode == 0
    return [setarch, platform.machine(), "-R"] if usable else []


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(plain, program):
    run(plain / program)


@pytest.mark.parametrize("program", PROGRAMS)
def test_program_under_address_and_undefined_sanitizers(sanitized, program):
    run(sanitized / program)


QEMU = shutil.which("qemu-x86_64")


@pytest.mark.skipif(QEMU is None, reason="qemu-x86_64 is not installed (Debian: qemu-user)")
@pytest.mark.parametrize(("processor", "best"), [("Nehalem", "scalar"), ("SandyBridge", "scalar"), ("Haswell", "avx2")])
def test_processors_without_an_instruction_set(plain, tmp_path, processor, best):
    """What an emulated processor lacks is neither chosen nor run; an instruction that it lacks would end the program."""
    assert run(QEMU, "-cpu", processor, plain / "test_isa", best).startswith(f"best: {best}\n")
    source, program = tmp_path / "avx.c", tmp_path / "avx"
    source.write_text('int main(void) { __asm__ volatile("vpaddd %ymm0, %ymm1, %ymm2"); return 0; }\n')
    run(CC, source, "-o", program)
    assert (subprocess.run([QEMU, "-cpu", processor, program], capture_output=True).returncode == 0) == (best == "avx2")


def test_sanitizers_would_speak(sanitized):
    """A deliberate error in the same build must end the program: a test that cannot fail is worse than none."""
    source, program = sanitized / "wrong.c", sanitized / "wrong"
    source.write_text("#include <stdlib.h>\nint main(int n, char **v) { char *p = malloc(8); p[8 * n] = v[0][0]; return p[8 * n]; }\n")
    run(CC, "-fsanitize=address,undefined", source, "-o", program)
    done = subprocess.run([program], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode != 0 and "heap-buffer-overflow" in done.stderr


def test_threads_under_the_thread_sanitizer(thread_sanitized, plain, pack, isas):
    """Pictures; and contexts of more than 512 positions, whose attention is shared out, for one sequence and for several in one pass, of
    a token each and with drafts."""
    run(*fixed_addresses(), thread_sanitized / "test_pool")
    for tiles, length in ((1, 0), (0, 600)):
        arguments = (pack, isas[0], 4, 12, tiles, length)
        assert run(*fixed_addresses(), thread_sanitized / "generate_pack", *arguments) == run(plain / "generate_pack", *arguments)


def test_a_race_would_show(thread_sanitized):
    """The thread sanitizer of the same build ends a program whose threads write the same place."""
    source, program = thread_sanitized / "race.c", thread_sanitized / "race"
    source.write_text(
        "#include <pthread.h>\nstatic int shared;\n"
        "static void *add(void *n) { for (int i = 0; i < 1000; i++) shared++; return n; }\n"
        "int main(void) { pthread_t t; pthread_create(&t, 0, add, 0); add(0); pthread_join(t, 0); return shared == 1; }\n"
    )
    run(CC, "-fsanitize=thread", source, "-o", program)
    done = subprocess.run([*fixed_addresses(), program], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode != 0 and "data race" in done.stderr


def test_generation_is_the_same_on_every_instruction_set_and_thread_count(plain, pack, isas):
    for tiles, length in ((1, 80), (0, 590)):  # lengths at which no random answer stops early
        runs = [(isa, threads) for isa in isas for threads in ((1, 3) if isa != "scalar" else (2,))]
        outputs = {run(plain / "generate_pack", pack, isa, threads, 40, tiles, length) for isa, threads in runs}
        assert len(outputs) == 1
        greedy, sampled, candidates, *together = outputs.pop().splitlines()
        assert greedy.startswith("greedy: ") and sampled.startswith("sampled: ") and greedy.split()[1:] != sampled.split()[1:]
        assert candidates.startswith("candidates: ") and len(candidates.split()) == 1 + 3 * 40
        assert len(together) == 3 and all(line.startswith("together: ") and len(line.split()) == 1 + 40 for line in together)


def test_generation_under_address_and_undefined_sanitizers(sanitized, plain, pack, isas):
    for isa in isas:
        arguments = (pack, isa, 2, 24, int(isa != "scalar"), 70)  # the scalar kernels take a minute for a picture there
        assert run(sanitized / "generate_pack", *arguments) == run(plain / "generate_pack", *arguments)


def test_hostile_blocks_under_address_and_undefined_sanitizers(sanitized, pack, isas):
    """Blocks whose header is right and whose other bytes are anything, NaN and infinities among them."""
    for isa in isas:
        for threads, tiles, rounds, seed in ((1, 0, 1, 1), (2, 0, 3, 2), (2, 1, 1, 3)) if isa != "scalar" else ((2, 0, 1, 1),):
            assert run(sanitized / "generate_hostile", pack, isa, threads, tiles, rounds, seed).count(f": {rounds} times\n") == 6


def test_a_token_step_allocates_nothing(plain, pack, isas):
    """Feeding text and a picture, logits, sampling, the token loop with and without drafts, blocks, shared prefixes, several sessions in
    one pass and answers that are decoded together, long contexts: none of them allocates."""
    for tiles, length in ((0, 0), (2, 0), (0, 600)):
        last = run(plain / "generate_pack_counted", pack, isas[0], 2, 30, tiles, length).splitlines()[-1]
        word, during, _, overall = last.split()
        assert word == "allocations:" and during == "0"
        assert int(overall) > 10, "the counter sees opening"


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed (Debian: valgrind)")
@pytest.mark.parametrize(("threads", "tokens", "tiles", "length"), [(2, 16, 0, 70), (1, 2, 1, 0), (2, 2, 0, 520)])
def test_a_whole_generation_leaks_nothing(plain, light_pack, isas, threads, tokens, tiles, length):
    """Under valgrind: no error, no block left, reachable or not, and the same ids; valgrind emulates no more than AVX2."""
    arguments = (light_pack, "avx2" if "avx2" in isas else "scalar", threads, tokens, tiles, length)
    checks = ("--quiet", "--error-exitcode=99", "--leak-check=full", "--show-leak-kinds=all", "--errors-for-leak-kinds=all")
    assert run("valgrind", *checks, plain / "generate_pack", *arguments) == run(plain / "generate_pack", *arguments)


def test_a_damaged_pack_is_refused_without_a_leak(sanitized, pack, tmp_path):
    """The program ends with its one line for every prefix and for flipped bytes; the sanitizers watch the loader."""
    data = pack.read_bytes()
    damaged = [data[:size] for size in (0, 1, 63, 64, 200, 1000, len(data) // 2, len(data) - 1)]
    for at in (0, 8, 12, 16, 24, 40, 70, 100, 500, len(data) // 3, len(data) - 100):
        damaged.append(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
    for i, bad in enumerate(damaged):
        path = tmp_path / f"{i}.cwm"
        path.write_bytes(bad)
        command = [sanitized / "generate_pack", path, "scalar", "1", "2", "0", "0"]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
        assert done.returncode == 1, (i, done.stderr)
        assert done.stderr.startswith("generate_pack: ") and len(done.stderr.splitlines()) == 1, (i, done.stderr)


def test_wrong_numbers_in_a_pack_stay_wrong_numbers(sanitized, pack, isas, tmp_path):
    """Opening does not read what the tensors hold: whatever it is, the sanitizers have nothing to say."""
    data, generator = bytearray(pack.read_bytes()), random.Random(7)
    _kind, _zero, offset, size, _sum = export.SECTION.unpack_from(data, export.HEADER.size + 8 + 3 * export.SECTION.size)
    first = offset + size  # of the tensors, or of the zeros before
    noise = data[:first] + generator.randbytes(len(data) - first)
    for at in range(first, len(data), 4):
        if generator.random() < 0.02:  # bit patterns of NaN, infinity, the largest and the least number, as float32 and bfloat16
            data[at : at + 4] = generator.choice((b"\0\0\xc0\x7f", b"\0\0\x80\xff", b"\xff\xff\x7f\x7f", b"\1\0\0\0", b"\xff\xff\xff\xff"))
    for name, damaged in (("noise", noise), ("odd", data)):
        path = tmp_path / f"{name}.cwm"
        path.write_bytes(damaged)
        for isa in isas:
            run(sanitized / "generate_hostile", path, isa, 2, int(isa != "scalar"), 1, 1)
