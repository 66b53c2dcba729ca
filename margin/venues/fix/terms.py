"""What two sides of a FIX session agreed on."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Terms:
    """One session. The password comes from the environment alone and is shown nowhere."""

    host: str
    port: int
    sender: str  # SenderCompID: us
    target: str  # TargetCompID: the venue
    folder: Path  # of the journal
    username: str = ""
    password: str = field(default="", repr=False)
    heartbeat_seconds: int = 30
    resend_seconds: float = 3.0  # an order older than this is never sent again, but asked about
    wait_seconds: float = 2.0  # for the session to stand, before an order counts as not sent
    first_pause_seconds: float = 1.0  # between two attempts to connect; doubled each time
    longest_pause_seconds: float = 30.0
    resets_each_logon: bool = False
    tls: bool = False
    ca_file: str = ""  # whom to believe; empty: the machine's authorities
    certificate_file: str = ""  # ours with its key, where the venue asks for one
    server_name: str = ""  # that the venue's certificate must bear; empty: the host
    order_fields: dict[int, str] = field(default_factory=dict)  # the venue's own tags in each NewOrderSingle
