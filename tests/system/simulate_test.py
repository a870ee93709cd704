#!/usr/bin/python3
"""`berth simulate` without any server: literal waits on a small cluster, the same answer twice, a picture."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree

BERTH = os.environ.get("BERTH", "")
TRACES = pathlib.Path(__file__).resolve().parent.parent / "data" / "traces"

SWF = """; MaxProcs: 4
1 0 -1 100 3 -1 -1 3 100 -1 1 1 1 1 1 1 -1 -1
2 10 -1 50 4 -1 -1 4 60 -1 1 1 1 1 1 1 -1 -1
3 20 -1 80 1 -1 -1 1 80 -1 1 1 1 1 1 1 -1 -1
4 30 -1 -1 1 -1 -1 1 80 -1 5 1 1 1 1 1 -1 -1
"""


class Simulate(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def berth(self, *words, code=0):
        done = subprocess.run([BERTH, "simulate", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120, env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder)})
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def simulations(self, *words):
        return json.loads(self.berth(*words, "-o", "json", "-q").stdout)["simulations"]

    def test_a_workload_in_the_standard_format(self):
        trace = self.folder / "small.swf"
        trace.write_text(SWF)
        (one,) = self.simulations("--trace", trace)
        # 1 runs at 0, 3 beside it from 20 to 100, 2 needs everything and starts at 100; 4 never ran.
        self.assertEqual((one["jobs"], one["finished"], one["span_s"]), (3, 3, 150))
        self.assertEqual(one["waits_by_priority"]["low"], {"jobs": 3, "mean_s": 30, "p50_s": 0, "p99_s": 90, "longest_s": 90})
        self.assertAlmostEqual(one["utilization"]["cpu"], (300 + 80 + 200) / (4 * 150))

    def test_the_slice_of_a_real_trace_under_each_policy(self):
        words = ("--trace", TRACES / "openb_pods_slice.csv", "--nodes", TRACES / "openb_nodes_slice.csv", "--gpus", 8,
                 "--compare", "strict,backfill,preempt")
        first = self.simulations(*words)
        self.assertEqual([one["policy"] for one in first], ["strict", "backfill", "preempt"])
        for one in first:
            self.assertEqual(one["finished"] + one["refused"], 300)
            self.assertLessEqual(one["utilization"]["gpu"], 1)
            self.assertTrue(0 < one["fragmentation"] < 1)
        self.assertEqual(first[0]["evictions"], 0)
        self.assertEqual(first, self.simulations(*words))
        # All in one node leave nothing scattered that could be measured.
        self.assertEqual([one["fragmentation"] for one in self.simulations(*words, "--one-node")], [None] * 3)

    def test_a_pod_runs_only_on_the_models_that_it_asks_for(self):
        nodes = self.folder / "nodes.csv"
        nodes.write_text("sn,cpu_milli,memory_mib,gpu,model\na,8000,8192,1,V100M32\nb,8000,8192,1,T4\n")
        head = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
        pods = self.folder / "pods.csv"
        pods.write_text(head + "one,1000,1024,1,1000,V100M16|V100M32,LS,Running,0,100,0\n"
                               "two,1000,1024,1,1000,V100M16|V100M32,LS,Running,10,60,10\n"
                               "three,1000,1024,1,1000,,LS,Running,20,70,20\n"
                               "four,1000,1024,1,1000,P100,LS,Running,30,80,30\n")
        (one,) = self.simulations("--trace", pods, "--nodes", nodes)
        # 2 waits for the V100 until 100, 3 runs on the T4 at once, and nobody has a P100.
        self.assertEqual((one["finished"], one["refused"]), (3, 1))
        self.assertEqual(one["waits_by_priority"]["high"], {"jobs": 3, "mean_s": 30, "p50_s": 0, "p99_s": 90, "longest_s": 90})

    def test_virtual_clusters_are_tenants(self):
        head = "job_id,num_gpu,submit_time,duration,priority,vc\n"
        trace = self.folder / "jobs.csv"
        trace.write_text(head + "1,4,0,100000,0,red\n2,4,0,100000,0,red\n3,4,0,100000,0,blue\n4,4,0,100000,0,blue\n")
        words = ("--trace", trace, "--gpus", 8)
        tenants = lambda one: {name: (w["mean_s"], w["longest_s"]) for name, w in one["waits_by_tenant"].items()}
        (one,) = self.simulations(*words)
        self.assertEqual(tenants(one), {"red": (0, 0), "blue": (100, 100)})
        # Each has a quota of four GPUs; before blue asks, red borrows the others.
        (one,) = self.simulations(*words, "--quota-by-vc")
        self.assertEqual(tenants(one), {"red": (0, 0), "blue": (100, 100)})
        (one,) = self.simulations(*words, "--quota-by-vc", "--no-borrowing")
        self.assertEqual(tenants(one), {"red": (50, 100), "blue": (50, 100)})
        # In fair order the second free half goes to the one that holds nothing.
        trace.write_text(head + "0,8,0,10000,0,red\n1,4,1000,100000,0,red\n2,4,1000,100000,0,red\n3,4,1000,100000,0,blue\n4,4,1000,100000,0,blue\n")
        (one,) = self.simulations(*words)
        self.assertEqual(tenants(one)["blue"], (109, 109))
        (one,) = self.simulations(*words, "--fair")
        self.assertEqual(tenants(one)["blue"], (59, 109))
        other = self.folder / "other.csv"
        other.write_text("job_id,num_gpu,submit_time,duration,priority\n1,1,5000,1000,0\n")
        (one,) = self.simulations(*words, "--beside", other)
        self.assertEqual(sorted(one["waits_by_tenant"]), ["jobs/blue", "jobs/red", "other"])

    def test_a_job_larger_than_a_node_is_split(self):
        trace = self.folder / "jobs.csv"
        trace.write_text("job_id,num_gpu,submit_time,duration,priority\n1,4,0,50000,1\n2,16,0,100000,1\n3,32,0,1000,1\n")
        (one,) = self.simulations("--trace", trace, "--gpus", 16)
        self.assertEqual((one["finished"], one["refused"]), (1, 2))
        # Two replicas of eight need both machines: at 50. Four of them never fit.
        (one,) = self.simulations("--trace", trace, "--gpus", 16, "--split", 8)
        self.assertEqual((one["finished"], one["refused"]), (2, 1))
        self.assertEqual(one["waits_by_size"]["gpu 9+"]["mean_s"], 50)
        self.assertAlmostEqual(one["utilization"]["gpu"], (4 * 50 + 16 * 100) / (16 * 150))

    def test_a_picture(self):
        picture = self.folder / "use.svg"
        said = self.berth("--trace", TRACES / "openb_pods_slice.csv", "--nodes", TRACES / "openb_nodes_slice.csv", "--plot", picture).stdout
        self.assertIn("MEAN WAIT", said)
        root = xml.etree.ElementTree.parse(picture).getroot()
        lines = root.findall("{http://www.w3.org/2000/svg}polyline")
        self.assertEqual([len(line.get("points").split()) for line in lines], [240, 240, 240, 240])

    def test_the_published_experiment(self):
        answer = self.berth("--trace", TRACES / "openb_pods_slice.csv", "--nodes", TRACES / "openb_nodes_slice.csv",
                            "--protocol", "fgd", "--seeds", 2, "-o", "json", "-q")
        rows = json.loads(answer.stdout)["allocation"]
        self.assertEqual([row["seed"] for row in rows], ["1", "2", "mean"])
        for row in rows:
            self.assertTrue(50 < row["at_130"] <= 100, row)

    def test_what_is_wrong_is_said(self):
        self.assertIn("'fifo' is no policy", self.berth("--trace", TRACES / "openb_pods_slice.csv", "--gpus", 8, "--policy", "fifo", code=2).stderr)
        self.assertIn("say --nodes FILE", self.berth("--trace", TRACES / "openb_pods_slice.csv", code=2).stderr)
        broken = self.folder / "broken.swf"
        broken.write_text("; MaxProcs: 4\n1 2 3\n")
        self.assertIn("broken.swf:2: a job of this format has 18 numbers", self.berth("--trace", broken, code=6).stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
