"""The errors that services outside may answer with."""


class ExternalServiceError(Exception):
    """Something outside did not do as asked; trying again later may help."""


class IamReadError(ExternalServiceError):
    """IAM could not be read: throttled, denied or out of reach."""


class AccountOutOfReachError(IamReadError):
    """Nothing in the account can be read: the text names it, and what to put right there."""


class InspectionError(ExternalServiceError):
    """Something of a live account could not be read. The text names the call, and why."""


class MissingPermissionError(InspectionError):
    """The caller may not read it: the text names the call, as permissions name it."""


class IamWriteError(ExternalServiceError):
    """IAM could not be changed: throttled, denied or out of reach."""


class IamDeniedError(IamWriteError):
    """A policy forbids that change of IAM, so it surely was not made."""


class FulfilmentInterruptedError(ExternalServiceError):
    """A request is carried out in part. The text says what held it up, and what to do."""


class LostRaceError(ExternalServiceError):
    """Somebody else changed the user or the request first: read again and decide again."""


class AlreadyDecidedError(Exception):
    """The event was decided before: a duplicate, and nothing to do."""


class NoSuchRequestError(Exception):
    """There is no change request of that id, or none that the caller may know of."""


class UnactionableError(Exception):
    """An event that is well-formed but must not be acted on; the text says why."""


class RefusedError(Exception):
    """The receiving side will never take this message. The text says why."""


class BadAddressError(RefusedError):
    """The address is none that a mail can go to."""


class NotSentError(ExternalServiceError):
    """The message could not be sent now."""


class ThrottledError(NotSentError):
    """Too much at once. It may go soon."""


class QuotaUsedUpError(NotSentError):
    """The day's quota is used up. It becomes free bit by bit, as what was sent grows a day old."""


class SendingStoppedError(NotSentError):
    """The account may not send at all until a person has seen to it."""
