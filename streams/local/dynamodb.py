"""DynamoDB Local: the DynamoDB replica, kept in a file."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from streams.local.http import expect_ok
from streams.local.jvm import SERIAL_GC, class_path, java
from streams.local.process import Command
from streams.local.service import Service

_HEAP_MB = 512
# DynamoDB Local wants credentials and a region, and believes any.
ACCESS_KEY, SECRET_KEY, REGION = "local", "local", "us-east-1"

# Its own main class listens on every interface and has no option for that; so Jetty's launcher puts the same request
# handler behind a connector on the loopback interface. Arguments of the request handler: authority level, in memory,
# folder, one shared database, delays before a new table or index is active.
_SERVER = """\
<Configure id="server" class="org.eclipse.jetty.server.Server">
  <Call name="addConnector"><Arg>
    <New class="org.eclipse.jetty.server.ServerConnector">
      <Arg name="server"><Ref refid="server"/></Arg>
      <Set name="host">{host}</Set>
      <Set name="port">{port}</Set>
    </New>
  </Arg></Call>
  <Set name="handler">
    <New class="org.eclipse.jetty.server.handler.ContextHandler">
      <Arg><New class="software.amazon.dynamodb.services.local.server.LocalDynamoDBServerHandler">
        <Arg><New class="software.amazon.dynamodb.services.local.server.LocalDynamoDBRequestHandler">
          <Arg type="int">0</Arg>
          <Arg type="boolean">false</Arg>
          <Arg>{folder}</Arg>
          <Arg type="boolean">true</Arg>
          <Arg type="boolean">false</Arg>
        </New></Arg>
        <Arg/>
      </New></Arg>
      <Arg>/</Arg>
    </New>
  </Set>
</Configure>
"""


class DynamoDb(Service):
    """One shared database, whatever credentials and region a client names."""

    name = "dynamodb"
    ports = ("dynamodb",)
    groups = ("dynamodb",)

    def endpoint(self) -> str:
        """Its URL."""
        return f"http://{self.site.address(self.name)}"

    @property
    def _config(self) -> Path:
        return self.site.home(self.name) / "server.xml"

    def prepare(self) -> None:
        """Write the configuration (the port may have changed)."""
        host, _, port = self.site.address(self.name).partition(":")
        data = self.site.home(self.name) / "data"
        data.mkdir(exist_ok=True)
        self._config.write_text(_SERVER.format(host=host, port=port, folder=escape(str(data))))

    def command(self) -> Command:
        """The server, with its native SQLite library found beside its jars."""
        jars = self.site.jars("dynamodb")
        native = (f"-Djava.library.path={jars}", "--enable-native-access=ALL-UNNAMED")
        # Validating would want a document type, and with it an address on the network.
        xml = "-Dorg.eclipse.jetty.xml.XmlParser.Validating=false"
        options = (*class_path(jars), *native, xml, SERIAL_GC)
        words = java(_HEAP_MB, "org.eclipse.jetty.xml.XmlConfiguration", str(self._config), options=options)
        return Command(words, environment=(("DDB_LOCAL_TELEMETRY", "0"),))

    def check(self) -> None:
        """List the tables."""
        headers = {
            "X-Amz-Target": "DynamoDB_20120810.ListTables",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": (
                f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/{REGION}/dynamodb/aws4_request, "
                "SignedHeaders=host, Signature=0"
            ),
        }
        expect_ok(self.endpoint(), method="POST", headers=headers, body="{}")
