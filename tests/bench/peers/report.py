"""A comparison's numbers as Markdown tables, ready for docs/performance.md, and as a plot."""

import statistics

SLUICE, ONE_WORKER, REFERENCE = "Sluice", "Sluice, one worker", "diffusers"
ENGINES = ("ONNX Runtime", "OpenVINO")
SAME = 1.0  # of 255: a larger mean difference of pixels is other work


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def names_of(cells):
    names = []
    for cell in cells:
        names += [name for name in cell["median_ms"] if name not in names]
    return names


def best(medians, accept):
    """(name, ms) of the fastest that is accepted, or (None, None)."""
    fit = [(ms, name) for name, ms in medians.items() if accept(name)]
    return min(fit)[::-1] if fit else (None, None)


def is_peer(name):
    return not name.startswith(SLUICE)


def cells_of(result, what):
    return [cell for cell in result["cells"] if cell["what"] == what]


def lone_table(result):
    cells = cells_of(result, "lone")
    names = names_of(cells)
    rows = []
    for cell in cells:
        own = cell["median_ms"].get(SLUICE)
        row = [f"{cell['side']}x{cell['side']}", cell["steps"]]
        for name in names:
            ms = cell["median_ms"].get(name)
            if ms is None:
                row.append("")
            else:
                ratio = "" if name == SLUICE or not own else f" ({ms / own:.2f}x)"
                row.append(f"{ms:.1f}{ratio}")
        row.append(min((len(ms) for ms in cell["ms"].values() if ms), default=0))
        rows.append(row)
    return table(["pixels", "steps", *names, "runs"], rows)


def rates(result):
    """{name: (pictures a second, batch)} at each one's best batch."""
    found = {}
    for cell in cells_of(result, "many"):
        for name, ms in cell["median_ms"].items():
            rate = 1000 / ms
            if rate > found.get(name, (0, 0))[0]:
                found[name] = (rate, cell["batch"])
    return found


def many_table(result):
    found = rates(result)
    own = found.get(SLUICE, (0, 0))[0]
    rows = []
    for name, (rate, batch) in sorted(found.items(), key=lambda entry: -entry[1][0]):
        how = "16 clients" if name.startswith(SLUICE) else f"batches of {batch}"
        rows.append([name, how, f"{rate:.2f}", f"{own / rate:.2f}x"])
    return table(["", "at its best", "pictures a second", "Sluice is"], rows)


def own_velocity(result, threads, batch):
    """Sluice's ms a picture: the mean of the medians before and behind the peers'."""
    times = []
    for bench in result["bench"][str(threads)]:
        for row in bench["sizes"][1]["rounds"]:
            if row["batch"] == batch:
                times.append(row["ms"] / batch)
    return statistics.fmean(times) if times else None


def velocity_table(result):
    names, rows = [], []
    for by_batch in result["velocity"].values():
        for medians in by_batch.values():
            names += [name for name in medians if name not in names]
    for threads, by_batch in result["velocity"].items():
        for batch, medians in by_batch.items():
            own = own_velocity(result, threads, batch)
            row = [threads, batch, f"{own:.2f}" if own else ""]
            for name in names:
                ms = medians.get(name)
                row.append(f"{ms:.2f} ({ms / own:.2f}x)" if ms and own else "")
            rows.append(row)
    return table(["threads", "batch", SLUICE, *names], rows)


def pixel_table(result):
    worst = {}
    for cell in result["cells"]:
        for name, (largest, mean) in cell["pixels"].items():
            before = worst.get(name, (0, 0.0))
            worst[name] = (max(before[0], largest), max(before[1], mean))
    rows = [
        [name, largest, f"{mean:.4f}", "yes" if mean < SAME else "NO: other work"]
        for name, (largest, mean) in worst.items() if name != REFERENCE
    ]
    return table(["", "largest", "mean", "the same picture"], rows)


def growth_table(result):
    """Measured against counted, for one evaluation on one core, from the default size."""
    bench = result["bench"]["1"][-1]
    one = [(size, size["rounds"][0]) for size in bench["sizes"] if size["rounds"]]
    base = next((row for size, row in one if size is bench["sizes"][1]), one[0][1])
    rows = [
        [f"{size['width']}x{size['height']}", f"{row['gflop']:.2f}",
         f"{row['gflop'] / base['gflop']:.2f}x", f"{row['ms']:.2f}",
         f"{row['ms'] / base['ms']:.2f}x", f"{100 * row['share']:.0f} %"]
        for size, row in one
    ]
    return table(["pixels", "GFLOP", "counted", "ms", "measured", "of the peak"], rows)


def share_table(result):
    rows = []
    for threads, benches in result["bench"].items():
        bench = benches[-1]
        usual = bench["sizes"][1]
        for row in usual["rounds"]:
            if row["batch"] in (1, 8):
                rows.append([threads, f"a step, batch {row['batch']}",
                             f"{row['ms'] / row['batch']:.2f}", f"{row['gflops']:.1f}",
                             f"{100 * row['share']:.0f} %"])
        if "decode" in usual:
            rows.append([threads, "a decode", f"{usual['decode']['ms']:.2f}",
                         f"{usual['decode']['gflops']:.1f}",
                         f"{100 * usual['decode']['share']:.0f} %"])
    counted = request_operations(result)
    processors = result["machine"]["processors"]
    for cell in cells_of(result, "lone"):
        ms = cell["median_ms"].get(SLUICE)
        gflop = counted.get((cell["side"], cell["steps"]))
        if ms and gflop:
            peak = peak_of(result) * processors
            rows.append([processors, f"a whole request, {cell['side']}x{cell['side']}, "
                         f"{cell['steps']} steps, over HTTP", f"{ms:.2f}",
                         f"{gflop / ms * 1000:.1f}", f"{100 * gflop / ms * 1000 / peak:.0f} %"])
    return table(["threads", "", "ms a picture", "GFLOP/s", "of the peak"], rows)


def peak_of(result):
    return max(bench["peak_gflops"] for benches in result["bench"].values() for bench in benches)


def request_operations(result):
    """{(side, evaluations): GFLOP of a whole picture}"""
    found = {}
    bench = result["bench"]["1"][-1]
    for size in bench["sizes"]:
        if "decode" not in size or not size["rounds"]:
            continue
        for n in (1, 4, 8, 20):
            found[size["width"], n] = (bench["encode"]["gflop"] + size["decode"]["gflop"]
                                       + n * size["rounds"][0]["gflop"])
    return found


def product_table(result):
    bench = result["bench"]["1"][-1]
    products = [row for row in bench["single_kernels"] if row["kernel"] == "product"]
    counts = sorted({row["rows"] for row in products})
    shapes = []
    for row in products:
        shape = (row["inputs"], row["outputs"])
        shapes += [shape] if shape not in shapes else []
    found = {(row["inputs"], row["outputs"], row["rows"]): row["share"] for row in products}
    rows = [
        [f"{inputs} -> {outputs}"]
        + [f"{100 * found[inputs, outputs, n]:.0f} %" if (inputs, outputs, n) in found else ""
           for n in counts]
        for inputs, outputs in shapes
    ]
    return table(["product", *(f"{n} rows" for n in counts)], rows)


def goals(result):
    """The goals of the project beside what was measured: (goal, wanted, found) each."""
    side, lone = result["sides"][0], {}
    for cell in cells_of(result, "lone"):
        lone[cell["side"], cell["steps"]] = cell["median_ms"]
    for steps, wanted in ((4, 3.3), (20, 3.0)):
        medians = lone.get((side, steps), {})
        name, ms = best(medians, lambda name: name.startswith(REFERENCE))
        if ms and SLUICE in medians:
            yield (f"lone picture, {steps} steps: times faster than {name}",
                   f">= {wanted}", ms / medians[SLUICE])
    found = rates(result)
    name, ms = best({k: 1000 / v[0] for k, v in found.items()}, is_peer)
    if ms and SLUICE in found:
        yield (f"saturation: times the pictures a second of {name}", ">= 1.35",
               found[SLUICE][0] * ms / 1000)
    for threads, by_batch in result["velocity"].items():
        for batch, medians in by_batch.items():
            own = own_velocity(result, threads, batch)
            name, ms = best(medians, lambda name: name.startswith(ENGINES))
            if ms and own:
                yield (f"velocity alone, {threads} thread(s), batch {batch}: times faster "
                       f"than {name}", ">= 1.2", ms / own)
    yield from goals_of_bench(result)
    yield from goals_of_requests(result, lone, side, found)


def goals_of_bench(result):
    bench = result["bench"]["1"][-1]
    shares = [row["share"] for row in bench["single_kernels"]
              if row["kernel"] == "product" and row["rows"] >= 48]
    if shares:
        yield "products from 48 rows up: least share of the peak", ">= 0.90", min(shares)
        yield "the same: median share", ">= 0.90", statistics.median(shares)
    usual = bench["sizes"][1]
    for row in usual["rounds"]:
        wanted = {1: 0.80, 8: 0.85}.get(row["batch"])
        if wanted:
            yield (f"a step's share of the peak, one core, batch {row['batch']}",
                   f">= {wanted:.2f}", row["share"])
    if "decode" in usual and usual["rounds"]:
        yield ("a decode, in steps, one core", "<= 1.2",
               usual["decode"]["ms"] / usual["rounds"][0]["ms"])


def goals_of_requests(result, lone, side, found):
    decode = result["bench"][str(result["machine"]["processors"])][-1]["sizes"][1].get("decode")
    rest = [part["total"] - part["encode"] - part["steps"] - decode["ms"]
            for part in result["parts"] if decode and part["side"] == side]
    if rest:
        yield "HTTP, JSON and PNG of a lone picture, ms", "<= 3", statistics.median(rest)
    if ONE_WORKER in found and SLUICE in found:
        yield ("all workers' pictures a second, times one worker's", ">= 1.9",
               found[SLUICE][0] / found[ONE_WORKER][0])
    medians = lone.get((side, 20), {})
    if ONE_WORKER in medians and SLUICE in medians:
        yield ("a lone picture of 20 steps on all cores, of its time on one", "<= 0.55",
               medians[SLUICE] / medians[ONE_WORKER])


def goal_table(result):
    rows = []
    for goal, wanted, value in goals(result):
        sign, number = wanted.split()
        met = value >= float(number) if sign == ">=" else value <= float(number)
        rows.append([goal, wanted, f"{value:.2f}", "yes" if met else "no"])
    return table(["", "goal", "measured", "met"], rows)


def absent_list(result):
    lines = [f"- {name}: {why}" for name, why in result["absent"].items()]
    for cell in result["cells"]:
        for name, why in cell["errors"].items():
            lines.append(f"- {name}, {cell['what']}, {cell['side']} pixels, batch "
                         f"{cell['batch']}: {why}")
    return "\n".join(line[:400] for line in lines) + "\n"


def markdown(result):
    machine, version = result["machine"], result["versions"]
    bench = result["bench"]["1"][-1]
    size = f"{result['sides'][0]}x{result['sides'][0]}"
    steps = [cell["steps"] for cell in cells_of(result, "many")]
    parts = [
        f"Measured by `tests/bench/compare{' --quick' if result['quick'] else ''}` in "
        f"{result['seconds'] / 60:.0f} minutes on {machine['processors']} cores of "
        f"{machine['processor']} ({', '.join(machine['instruction_sets'])}; load before "
        f"{machine['load_before']:.1f}). Sluice {bench['version']} with its {bench['kernels']} "
        f"kernels; {', '.join(f'{k} {v}' for k, v in version.items())}. All in float32, "
        "guidance 1; medians of alternating runs.",
        f"The peak of one core, measured in the same run: {peak_of(result):.1f} GFLOP/s.",
        "### Goals", goal_table(result),
        "### A lone picture",
        "Milliseconds from prompt to PNG, for Sluice over HTTP (how many times as long as "
        "Sluice's).", lone_table(result),
        "### Many pictures", f"{size}, {steps[0] if steps else 0} steps.", many_table(result),
        "### The velocity alone",
        f"{size}; milliseconds a picture (how many times as long as Sluice's).",
        velocity_table(result),
        "### Shares of the peak", share_table(result),
        "Products alone, one core:", product_table(result),
        "### Larger pictures", "One evaluation on one core; arithmetic counted, time measured.",
        growth_table(result),
        "### The same work",
        "Pixels beside those of diffusers (eager), of 255, over all pictures above.",
        pixel_table(result),
    ]
    if result["absent"] or any(cell["errors"] for cell in result["cells"]):
        parts += ["### Absent", absent_list(result)]
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def plot(result, path):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lone = cells_of(result, "lone")
    sides = sorted({cell["side"] for cell in lone})
    figure, axes = pyplot.subplots(1, len(sides) + 1, figsize=(5 * (len(sides) + 1), 4.5))
    names = [name for name in names_of(lone) if name != ONE_WORKER]
    for axis, side in zip(axes, sides):
        cells = sorted((c for c in lone if c["side"] == side), key=lambda c: c["steps"])
        for name in names:
            points = [(c["steps"], c["median_ms"][name]) for c in cells if name in c["median_ms"]]
            if points:
                axis.plot(*zip(*points), marker="o", label=name,
                          linewidth=2.5 if name == SLUICE else 1.2)
        axis.set(title=f"a lone picture, {side}x{side}", xlabel="steps", ylabel="ms", xscale="log",
                 yscale="log")
        ticks = sorted({cell["steps"] for cell in cells})
        axis.set_xticks(ticks, [str(n) for n in ticks])
        axis.minorticks_off()
        axis.grid(True, alpha=0.3)
    axes[0].legend(fontsize=8)
    found = sorted(rates(result).items(), key=lambda entry: entry[1][0])
    axes[-1].barh([name for name, _ in found], [rate for _, (rate, _) in found])
    axes[-1].set(title="many pictures, each at its best batch", xlabel="pictures a second")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
