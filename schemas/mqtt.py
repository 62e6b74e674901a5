"""The plant's own MQTT payloads, with the plant's names: what the pilot's system spoke and coilflow keeps speaking."""

from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from schemas.events import Name, Text


class _Payload(BaseModel):
    """A coil's id may come as a number; unknown fields are kept."""

    model_config = ConfigDict(frozen=True, extra="allow", coerce_numbers_to_str=True)


class AssessCoil(_Payload):
    """`assesscoil`: the coil is complete in the plant's tables, assess it."""

    SID: Name


class OpFeedback(_Payload):
    """`opfeedback`: an operator judged a coil; without LABEL it is read from the plant's table `feedback`."""

    COILID: Name
    LABEL: Annotated[Literal[1, 2] | None, Field(validation_alias=AliasChoices("LABEL", "Label", "label"))] = None
    DESCRIP: Annotated[Text | None, Field(validation_alias=AliasChoices("DESCRIP", "Descrip"))] = None


class CoilReady(_Payload):
    """`coilready`: the verdict is stored."""

    SID: Name
    LABEL: Literal[0, 1, 2]  # 0 undecided, 1 OK, 2 NOK
