#!/usr/bin/env python3
"""Are faults in the fit index noticed? Puts one small fault after the other into a copy of a source file of
src/scheduler, compiles that file alone, links the tests of the engine with it, and requires that one of them fails.

    tests/scheduler/mutate.py BUILD [NAME ...]      all faults, or those named
    tests/scheduler/mutate.py BUILD --some          a few of them, as ctest runs them

BUILD is a build folder in which scheduler_property, scheduler_structures and scheduler_policy_property are built."""

import argparse
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TESTS = ("scheduler_property", "scheduler_structures", "scheduler_policy_property")
SOME = {"head_keeps_old_order", "freed_node_forgotten", "fresh_row_forgotten", "node_order_stale_maximum"}

# name, file, what stands there once, what the fault makes of it
FAULTS = [
    # HeadIndex: the first head that fits. (Where a tree is cut decides only about speed: no fault of it shows here.)
    ("head_keeps_old_order", "head_index.cc", "std::exchange(node.leaf.order()[place.at], order);", "node.leaf.order()[place.at];"),
    ("head_leaf_first_not_lowered", "head_index.cc", "    if (order <= node.first) {\n      node.first = order;",
     "    if (order <= node.first) {\n      (void)order;"),
    ("head_leaf_first_not_raised", "head_index.cc", "      node.first = first_in_leaf(place.node);\n", ""),
    ("head_first_not_passed_up", "head_index.cc", "    node.first = first;\n", ""),
    ("head_low_not_lowered_above", "head_index.cc",
     "      node.low[axis] = std::min(node.low[axis], item.demand[axis]);\n    }\n    node.first = std::min(node.first, order);",
     "    }\n    node.first = std::min(node.first, order);"),
    ("head_gap_filled_with_wrong_row", "head_index.cc", "    here.put(at, here.item(last));\n", ""),
    ("head_place_not_moved", "head_index.cc", "    places_[here.row()[at]].at = at;\n", ""),
    ("head_clear_keeps_first", "head_index.cc",
     "    nodes_[n].first = first_in_leaf(n);\n    refresh_first(n);\n", ""),
    ("head_equal_demands_not_cut", "head_index.cc", "cut.smaller < std::ssize(items) / 8", "cut.smaller < 0"),
    ("head_large_demand_stays", "head_index.cc", "  wide_.erase(row);\n", ""),
    ("head_large_demand_cut", "head_index.cc", "  if (Leaf::is_wide(item.demand)) wide_[row] = item.demand;\n",
     "  if (Leaf::is_wide(item.demand)) wide_[row] = {Leaf::kWide, item.demand[1], Leaf::kWide};\n"),
    ("head_leaf_never_smaller", "head_index.cc",
     "  if (last + 2 * kStep <= here.capacity()) resize(n, here.capacity() - kStep);\n", ""),
    ("head_collect_one_branch", "head_index.cc", "      stack.push_back(node.right);\n      continue;", "      continue;"),
    # OrderedSequence: from one item, which lies in it, to leaves and back
    ("sequence_second_item_behind", "ordered_sequence.cc", "leaf->put(key < top_.key ? 0 : 1, key, value);",
     "leaf->put(1, key, value);"),
    ("sequence_last_item_lost", "ordered_sequence.cc", "    top_.key = leaf->keys()[0];\n", ""),
    ("sequence_leaf_never_smaller", "ordered_sequence.cc", "top_.root = shrunk(leaf);", "top_.root = leaf;"),
    ("sequence_leaves_not_joined", "ordered_sequence.cc", "  parent->sizes[i] += parent->sizes[i + 1];\n", ""),
    ("long_run_time_stays", "waiting_queues.cc", "  if (entry(slot).short_run == kLongRun) long_runs_.erase(slot);\n", ""),
    # ShapeTable: which rows are fresh, and which head stands for a row
    ("fresh_row_forgotten", "shape_table.cc", "  if (state.waiting.size() == 1) set_fresh(row, true);\n", ""),
    ("fresh_only_when_not_alone", "shape_table.cc", "if (state.waiting.size() == 1) set_fresh",
     "if (state.waiting.size() == 2) set_fresh"),
    ("fresh_after_resize_forgotten", "shape_table.cc", "  set_fresh(row, feasible && !state.waiting.empty());\n", ""),
    ("fresh_listed_again_and_again", "shape_table.cc", "  if (state.listed) return;\n", ""),
    ("fresh_listing_not_forgotten", "shape_table.cc", "    rows_[row].listed = false;\n", ""),
    ("head_of_row_not_lowered", "shape_table.cc", "  if (order < here.heads.order_of(row)) here",
     "  if (here.heads.order_of(row) == HeadIndex::kNever) here"),
    ("head_of_row_not_moved_on", "shape_table.cc", "  if (indexed_order(row) == order) refresh_head(row);\n", ""),
    ("feasible_waiting_not_counted_down", "shape_table.cc", "  --feasible_waiting_;\n", ""),
    # NodeOrder: the first node with room
    ("node_order_stale_maximum", "node_order.cc",
     "      block.cpu = std::max(block.cpu, entry.cpu);\n", ""),
    ("node_order_block_skipped", "node_order.cc", "if (block.cpu < cpu || block.memory < memory) continue;",
     "if (block.cpu <= cpu || block.memory < memory) continue;"),
    ("node_order_starts_one_block_late", "node_order.cc", "static_cast<std::size_t>(after - blocks_.begin()) - 1;",
     "static_cast<std::size_t>(after - blocks_.begin()) - (blocks_.size() > 1 ? 0 : 1);"),
    ("node_order_ignores_memory", "node_order.cc", "entry.cpu >= cpu && entry.memory >= memory;",
     "entry.cpu >= cpu;"),
    ("node_order_forgets_a_change", "node_table.cc",
     "  if (!ordered() || is_changed_[n]) return;\n  is_changed_[n] = true;\n  changed_.push_back(n);\n",
     "  if (!ordered() || is_changed_[n] || n % 7 == 3) return;\n  is_changed_[n] = true;\n  changed_.push_back(n);\n"),
    ("node_share_not_entered", "node_table.cc", "    entry.first = share;\n    by_share_.insert(entry);\n  }\n  now.reach",
     "    entry.first = share;\n    if (share < 500) by_share_.insert(entry);\n  }\n  now.reach"),
    # FreedNodes: what has to be looked at after a release
    ("freed_node_forgotten", "engine.cc", "    for (FreedNodes& list : freed) list.add(place.node);\n", ""),
    ("freed_node_for_high_only", "engine.cc", "    for (FreedNodes& list : freed) list.add(place.node);\n",
     "    freed[0].add(place.node);\n"),
    ("freed_all_forgotten_after_resize", "engine.cc", "  free_everything();\n}\n\nvoid ClusterEngine::Impl::on(const PauseChanged",
     "}\n\nvoid ClusterEngine::Impl::on(const PauseChanged"),
    ("freed_cleared_too_early", "engine.cc", "  if (paused) return;\n  settled = true;",
     "  for (FreedNodes& list : freed) {\n    if (paused) list.clear();\n  }\n  if (paused) return;\n  settled = true;"),
    ("fresh_kept_by_few_nodes_only", "engine.cc",
     "const bool only_freed = few_freed && !shapes.is_fresh(head.row);", "const bool only_freed = few_freed;"),
]


class Build:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        commands = json.loads((self.folder / "compile_commands.json").read_text())
        self.compile = {c["file"]: c["command"] for c in commands}
        self.link = {}
        for test in TESTS:
            out = subprocess.run(["ninja", "-C", str(self.folder), "-t", "commands", test], check=True, text=True,
                                 capture_output=True).stdout
            self.link[test] = out.strip().splitlines()[-1]

    def compile_with(self, source, text, scratch):
        """The object of `source` with another text."""
        path = ROOT / "src/scheduler" / source
        words = shlex.split(self.compile[str(path)])
        changed = scratch / source
        changed.write_text(text)
        made = scratch / (source + ".o")
        words = [str(changed) if w == str(path) else w for w in words]
        at = words.index("-o")
        words[at + 1] = str(made)
        words = [w for i, w in enumerate(words) if w not in ("-MD",) and words[i - 1] not in ("-MT", "-MF")]
        words = [w for w in words if w not in ("-MT", "-MF")]
        words += ["-Wno-error", "-w"]
        subprocess.run(words, cwd=self.folder, check=True, capture_output=True, text=True)
        return made

    def link_with(self, test, made, scratch):
        """The test with this object: it comes before the library, whose own is then left out."""
        program = scratch / test
        line = self.link[test].replace(f"-o tests/scheduler/{test}", f"{shlex.quote(str(made))} -o {shlex.quote(str(program))}")
        subprocess.run(line, shell=True, cwd=self.folder, check=True, capture_output=True, text=True)
        return program


def noticed_by(build, fault):
    name, source, old, new = fault
    text = (ROOT / "src/scheduler" / source).read_text()
    if text.count(old) != 1:
        sys.exit(f"{name}: {source} has what is to be changed {text.count(old)} times, not once; bring the list up to date")
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        made = build.compile_with(source, text.replace(old, new), scratch)
        for test in TESTS:
            program = build.link_with(test, made, scratch)
            try:
                run = subprocess.run([str(program), "--gtest_fail_fast", "--gtest_brief=1"], capture_output=True, timeout=60)
            except subprocess.TimeoutExpired:
                return f"{test} (it hangs)"
            if run.returncode != 0:
                return test
    return None


def main():
    parser = argparse.ArgumentParser(description="Are faults in the fit index noticed?")
    parser.add_argument("build")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--some", action="store_true")
    args = parser.parse_args()
    chosen = [f for f in FAULTS if (f[0] in args.names or not args.names) and (f[0] in SOME or not args.some)]
    if not chosen:
        sys.exit("There is no such fault.")
    build = Build(args.build)
    missed = 0
    for fault in chosen:
        test = noticed_by(build, fault)
        print(f"{fault[0]}: {'noticed by ' + test if test else 'NOT NOTICED'}", flush=True)
        missed += test is None
    print(f"{len(chosen) - missed} of {len(chosen)} faults are noticed.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
