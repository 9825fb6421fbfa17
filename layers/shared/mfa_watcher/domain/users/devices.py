"""MFA devices as IAM names them."""

import re
from dataclasses import dataclass
from enum import StrEnum

ROOT_DEVICE = "mfa/root-account-mfa-device"
"""The end of the serial number of the root user's virtual device (AWS: sign-in event reference)."""

_FIDO_OWNER = re.compile(r"^arn:[^:]+:iam::[^:]*:u2f/user/(?P<owner>.+)/[^/]+$")


class DeviceKind(StrEnum):
    """The kinds of device that IAM knows, as the form of the serial number shows."""

    FIDO = "fido"
    VIRTUAL = "virtual"
    HARDWARE_TOTP = "hardware_totp"
    SMS = "sms"


@dataclass(frozen=True, slots=True)
class Device:
    """One MFA device: for all kinds but hardware tokens the serial number is an ARN."""

    serial: str

    @property
    def kind(self) -> DeviceKind:
        """Return the kind, as the serial number shows it."""
        return kind_of(self.serial)

    @property
    def name(self) -> str:
        """Return the name that the console shows for the device."""
        return self.serial.rsplit("/", 1)[-1]


def kind_of(serial: str) -> DeviceKind:
    """Return a device's kind, as its serial number shows it.

    Source: IAM API reference, ``EnableMFADevice`` and ``ListMFADevices``: ``arn:…:mfa/…`` is
    virtual, ``arn:…:u2f/…`` a security key or passkey ("u2f" is a fixed word there, not the
    protocol), ``arn:…:sms-mfa/…`` the retired SMS device; a hardware token has no ARN.
    """
    resource = serial.split(":", 5)[-1] if serial.startswith("arn:") else None
    if resource is None:
        return DeviceKind.HARDWARE_TOTP
    if resource.startswith("u2f/"):
        return DeviceKind.FIDO
    if resource.startswith("sms-mfa/"):
        return DeviceKind.SMS
    return DeviceKind.VIRTUAL


def owner_in(serial: str) -> str | None:
    """Return the name of the user in a serial number, or None.

    Only a FIDO device's serial (``arn:aws:iam::ACCOUNT:u2f/user/NAME/DEVICE``) and the root
    user's virtual device name an owner. A virtual device's name is free text.
    """
    if serial.endswith(f":{ROOT_DEVICE}"):
        return "root"
    found = _FIDO_OWNER.match(serial)
    return found["owner"].rsplit("/", 1)[-1] if found else None
