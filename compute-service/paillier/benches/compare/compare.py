"""Paillier in other people's packages beside Confab's, on this machine, in one run. See README.md."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

OPERATIONS = ["encrypt", "decrypt", "add", "multiply"]
SCALAR = 0x9E3779B1  # 32 bits
# Our names for the same things; encryption comes with two lengths of randomness.
OURS = {
    "decrypt, ordinary key": "decrypt",
    "add": "add",
    "multiply by 32 bits": "multiply",
}


def fastest(operation, seconds=0.5, calls=1):
    """Seconds of one call: of the fastest repetition within the time."""
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        for _ in range(calls):
            operation()
        best = min(best, (time.perf_counter() - begin) / calls)
    return best


def measure_phe(bits):
    import gmpy2  # without it phe computes in Python's own integers
    import phe

    public, private = phe.generate_paillier_keypair(n_length=bits)
    a, b = public.raw_encrypt(1234567), public.raw_encrypt(7654321)
    x, y = phe.EncryptedNumber(public, a), phe.EncryptedNumber(public, b)
    return f"phe {phe.__version__} + gmpy2 {gmpy2.version()}", {
        "encrypt": fastest(lambda: public.raw_encrypt(1234567)),
        "decrypt": fastest(lambda: private.raw_decrypt(a)),
        "add": fastest(lambda: x._raw_add(a, b), calls=100),
        "multiply": fastest(lambda: y._raw_mul(SCALAR), calls=10),
    }


def measure_heu(bits, schema):
    from heu import phe

    kit = phe.setup(getattr(phe.SchemaType, schema), bits)
    encryptor, decryptor, evaluator = kit.encryptor(), kit.decryptor(), kit.evaluator()
    plain, scalar = kit.plaintext(1234567), kit.plaintext(SCALAR)
    a, b = encryptor.encrypt(plain), encryptor.encrypt(kit.plaintext(7654321))
    return f"HEU {schema}", {
        "encrypt": fastest(lambda: encryptor.encrypt(plain)),
        "decrypt": fastest(lambda: decryptor.decrypt(a)),
        "add": fastest(lambda: evaluator.add(a, b), calls=100),
        "multiply": fastest(lambda: evaluator.mul(a, scalar), calls=10),
    }


def measure_crates(bits):
    manifest = Path(__file__).with_name("rust-crates") / "Cargo.toml"
    command = ["cargo", "run", "--release", "--quiet", "--manifest-path", str(manifest), "--", str(bits)]
    one_thread = {**os.environ, "RAYON_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=one_thread)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"{command[0]} ended with {done.returncode}")
    return json.loads(done.stdout)


def measure_confab(program, bits):
    command = [program, "bench", "paillier", "--bits", str(bits), "--time", "500", "--json", "-"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rates = [r for r in json.loads(done.stdout) if r["threads"] == 1]
    for backend in dict.fromkeys(r["backend"] for r in rates):
        own = {r["operation"]: 1 / r["per_second"] for r in rates if r["backend"] == backend}
        same = {theirs: own[ours] for ours, theirs in OURS.items()}
        for operation in own:
            if operation.startswith("encrypt, "):
                length = operation.removeprefix("encrypt, ").removesuffix(" randomness")
                yield f"Confab, {backend}, {length}", {"encrypt": own[operation], **same}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--confab", default="target/release/confab", help="the confab program")
    parser.add_argument("--bits", type=int, default=2048)
    arguments = parser.parse_args()

    others = {}
    attempts = [("phe", lambda: [measure_phe(arguments.bits)])]
    for schema in ["ZPaillier", "FPaillier", "IPCL"]:
        attempts.append((f"HEU {schema}", lambda schema=schema: [measure_heu(arguments.bits, schema)]))
    attempts.append(("Rust crates", lambda: measure_crates(arguments.bits)))
    for name, attempt in attempts:
        try:
            others.update(attempt())
        except Exception as e:
            print(f"left out: {name}: {e}", file=sys.stderr)
    ours = dict(measure_confab(arguments.confab, arguments.bits))

    print(f"N of {arguments.bits} bits, one thread, microseconds")
    print(f"{'':<34}" + "".join(f"{operation:>12}" for operation in OPERATIONS))
    for name, seconds in {**others, **ours}.items():
        print(f"{name:<34}" + "".join(f"{seconds[o] * 1e6:>12.1f}" for o in OPERATIONS))
    for own, mine in ours.items():
        print(f"\ntimes as fast: {own}")
        for name, seconds in others.items():
            print(f"{'than ' + name:<34}" + "".join(f"{seconds[o] / mine[o]:>12.1f}" for o in OPERATIONS))


if __name__ == "__main__":
    main()
