"""The errors that the ports raise."""


class ExternalServiceError(Exception):
    """A service outside did not do as asked; trying again later may help."""


class LostRaceError(ExternalServiceError):
    """The user or the request was changed meanwhile: read it and decide again."""


# Reading ------------------------------------------------------------------------------------------


class IamReadError(ExternalServiceError):
    """IAM could not be read: throttled, denied or unreachable."""


class AccountOutOfReachError(IamReadError):
    """Nothing in the account can be read. The text names the account and the remedy."""


class InspectionError(ExternalServiceError):
    """A resource of a live account could not be read. The text names the call and the reason."""


class MissingPermissionError(InspectionError):
    """The caller may not make the call. The text names the call as it is written in policies."""


# Changing IAM -------------------------------------------------------------------------------------


class IamWriteError(ExternalServiceError):
    """IAM could not be changed: throttled, denied or unreachable."""


class IamDeniedError(IamWriteError):
    """A policy denies the change, so it was certainly not made."""


class PolicyQuotaError(IamWriteError):
    """The user has as many managed policies as IAM allows; trying again alone does not help."""


class FulfilmentInterruptedError(ExternalServiceError):
    """A request is only partly fulfilled. The text names the reason and the remedy."""


# Sending ------------------------------------------------------------------------------------------


class NotSentError(ExternalServiceError):
    """The message could not be sent now."""


class ThrottledError(NotSentError):
    """Too many messages at once. Sending may succeed soon."""


class QuotaUsedUpError(NotSentError):
    """The daily quota is used up. It recovers gradually, as sent messages become a day old."""


class SendingStoppedError(NotSentError):
    """The account cannot send anything until a person fixes the cause."""


class RefusedError(Exception):
    """The receiving service will never accept this message. The text names the reason."""


class BadAddressError(RefusedError):
    """No mail can be sent to the address."""


# Requests and events ------------------------------------------------------------------------------


class AlreadyDecidedError(Exception):
    """The event was decided before: it is a duplicate, and there is nothing to do."""


class NoSuchRequestError(Exception):
    """There is no change request with this id, or the caller may not see it."""


class UnactionableError(Exception):
    """A well-formed event that must not be acted on. The text names the reason."""
