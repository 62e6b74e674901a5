"""*retrain*: asks coilflow's scheduler to train; nothing trains inside NiFi."""

from flows.nifi.describe.kinds import STANDARD, tick
from flows.nifi.describe.lanes import aside
from flows.nifi.describe.parameters import parameters, ref
from flows.nifi.describe.parts import Connection, Flow, Funnel, Label, Place, Processor

_AUTHORIZATION = "Authorization"
_LEFT, _LANE, _ASIDE = 0, 560, 1040


def retrain() -> Flow:
    """The flow."""
    when = tick(
        "when to ask",
        Place(_LEFT, 260),
        every="7 days",
        text='{"why": "the weekly flow in NiFi asks for it"}',
        comments="Stands for what asks in this plant: put your own source here, with the reason as `why`.",
    )
    ask = Processor(
        name="ask the scheduler",
        type="org.apache.nifi.processors.standard.InvokeHTTP",
        bundle=STANDARD,
        place=Place(_LEFT, 600),
        comments="202: it will run, or one waits already. The scheduler decides whether there is enough to learn from.",
        properties={
            "HTTP Method": "POST",
            "HTTP URL": ref("console.url") + "/api/v1/schedule/retrain/requests",
            "HTTP/2 Disabled": "False",
            "Connection Timeout": "5 secs",
            "Socket Read Timeout": "15 secs",
            "Socket Write Timeout": "15 secs",
            "Socket Idle Timeout": "5 mins",
            "Socket Idle Connections": "5",
            "Request Body Enabled": "true",
            "Request Content-Type": "application/json",
            "Request Date Header Enabled": "True",
            "Response Redirects Enabled": "True",
            _AUTHORIZATION: ref("console.authorization"),
        },
        sensitive=frozenset({_AUTHORIZATION}),
        dynamic=frozenset({_AUTHORIZATION}),  # a header
        ended=frozenset({"Original", "Response"}),
        retried=frozenset({"Retry", "Failure"}),
    )
    failed, refused = Funnel("failed", Place(_ASIDE, 560)), Funnel("refused", Place(_ASIDE, 760))
    return Flow(
        key="retrain",
        name="coilflow: retrain",
        comments="Asks the scheduler by HTTP; it gathers, trains, tries and promotes by its own gates.",
        processors=(when, ask),
        funnels=(failed, refused),
        connections=(
            Connection(source=when, relationships=("success",), to=ask, most=10),
            *aside(ask, (("Retry", "Failure"), failed), (("No Retry",), refused), lane=_LANE),
        ),
        labels=(
            Label(
                text="coilflow: retrain\nasks the scheduler, by HTTP; nothing trains inside NiFi",
                place=Place(_LEFT, 0),
                width=1000,
                height=90,
                font_px=22,
                color="#dbe9f6",
            ),
            Label(
                text="failed: nobody answered, or 5xx, for days. refused: 4xx; invokehttp.status.message says why.\n"
                "`coilflow scheduler why retrain` shows what became of a request.",
                place=Place(_ASIDE + 100, 560),
                width=520,
                height=130,
            ),
        ),
        parameters=parameters("console.url", "console.authorization"),
    )
