#!/usr/bin/env bash
# Fuzz the C core with libFuzzer under ASan and UBSan: fuzz/run.sh [SECONDS a target] [target...]
# Seeds are kept in fuzz/corpus; what a run finds goes to build/fuzz, crashes too. Needs clang.
# To keep what widens coverage: build/fuzz/TARGET/run -merge=1 fuzz/corpus/TARGET build/fuzz/TARGET/found
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-30}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(ltx index wal)
sources=(csrc/{crc64,index_log,ltx,ltx_compact,ltx_frames,ltx_index,ltx_reader,ltx_writer}.c
    csrc/{merge_heap,page,page_sink,wal}.c)
for target in "${targets[@]}"; do
    work=build/fuzz/$target
    mkdir -p "$work/found"
    clang -std=gnu11 -O1 -g -Wall -Wextra -Werror -fsanitize=fuzzer,address,undefined \
        -fno-sanitize-recover=all -Icsrc -o "$work/run" "fuzz/fuzz_$target.c" "${sources[@]}" -llz4
    echo "fuzz: $target for $seconds s"
    "$work/run" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=20000 \
        -verbosity=0 -print_final_stats=1 -artifact_prefix="$work/" \
        "$work/found" "fuzz/corpus/$target"
done
