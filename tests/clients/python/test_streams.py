"""Talking with pods: exec, attach, port-forward, proxy."""

from kubernetes import client
from kubernetes.stream import portforward, stream

from cluster import ClusterCase, eventually


class Streams(ClusterCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # stream() changes the client that it is given a method of.
        cls.talker = client.CoreV1Api(client.ApiClient(cls.api_client.configuration))
        cls.addClassCleanup(cls.talker.api_client.close)
        eventually(
            "the namespace has its service account",
            lambda: cls.core.list_namespaced_service_account(cls.namespace).items,
        )
        serve = "mkdir -p /www; echo from the pod > /www/index.html; exec httpd -f -p 8000 -h /www"
        cls.core.create_namespaced_pod(
            cls.namespace,
            {
                "metadata": {"name": "web"},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [
                        {
                            "name": "c",
                            "image": "test/busybox:v1",
                            "command": ["sh", "-c", serve],
                            "ports": [{"containerPort": 8000}],
                            "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
                        }
                    ],
                },
            },
        )

        def ready():
            pod = cls.core.read_namespaced_pod("web", cls.namespace)
            conditions = pod.status.conditions or []
            return any(each.type == "Ready" and each.status == "True" for each in conditions)

        eventually("the pod is ready", ready)

    def exec(self, *command, **options):
        chosen = {"stdin": False, "stdout": True, "stderr": True, "tty": False, **options}
        return stream(
            self.talker.connect_get_namespaced_pod_exec,
            "web", self.namespace, command=list(command), **chosen,
        )

    def test_output_of_a_command(self):
        self.assertEqual(self.exec("cat", "/www/index.html"), "from the pod\n")

    def test_a_conversation_and_its_end(self):
        script = "read line; echo got $line; echo wrong >&2; exit 3"
        talk = self.exec("sh", "-c", script, stdin=True, _preload_content=False)
        talk.write_stdin("word\n")
        talk.run_forever(timeout=60)
        self.assertEqual(talk.read_stdout(), "got word\n")
        self.assertEqual(talk.read_stderr(), "wrong\n")
        self.assertEqual(talk.returncode, 3)

    def test_a_terminal(self):
        talk = self.exec("sh", stdin=True, tty=True, _preload_content=False)
        talk.write_channel(4, '{"Width": 77, "Height": 22}')
        talk.write_stdin("until stty size | grep -q '22 77'; do sleep 0.05; done; stty size; exit\n")
        talk.run_forever(timeout=60)
        self.assertIn("22 77", talk.read_stdout())
        self.assertEqual(talk.returncode, 0)

    def test_ports(self):
        forwarded = portforward(
            self.talker.connect_get_namespaced_pod_portforward,
            "web", self.namespace, ports="8000",
        )
        socket = forwarded.socket(8000)
        socket.setblocking(True)
        socket.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while chunk := socket.recv(4096):
            answer += chunk
        self.assertIn(b"from the pod\n", answer)
        self.assertIsNone(forwarded.error(8000))

    def test_proxy(self):
        answer = self.core.connect_get_namespaced_pod_proxy_with_path(
            "web:8000", self.namespace, "index.html"
        )
        self.assertEqual(answer, "from the pod\n")
