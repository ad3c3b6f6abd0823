"""What can be wrong with BTFS cheques. The type says who is at fault.

    ChequeError
     ├─ RefusedError              the payer: a cheque that does not count
     │   ├─ WireError              not a cheque in BTFS's JSON
     │   ├─ WrongBeneficiaryError  made out to somebody else
     │   ├─ WrongTokenError        of a token we do not take, or of a vault whose WBTT is not the real one
     │   ├─ NotGrowingError        not higher than what we hold or were paid (also a StaleChequeError)
     │   ├─ TooLittleError         higher, but by less than is owed
     │   ├─ UnknownVaultError      the factory has not deployed the vault
     │   ├─ BrokenVaultError       the vault's answers make no sense, or it gives none
     │   ├─ WrongSignerError       not signed by the vault's issuer (also a BadSignatureError)
     │   ├─ BouncedBeforeError     the vault has failed to pay a cheque in full before
     │   └─ UncoveredError         the vault does not hold what the cheque claims
     ├─ IssueError                us: a cheque that must not be issued
     │   ├─ NotOurVaultError       our key is not the vault's issuer, or the factory does not know the vault
     │   └─ OverdrawnError         it would promise more than our vault holds
     └─ BookFullError             us: no room for another vault or beneficiary

What the chain or its endpoints get wrong is a `ChainError`.
"""

from __future__ import annotations

from wallet.errors import BadSignatureError, ChequeError, StaleChequeError


class RefusedError(ChequeError):
    """A cheque that does not count."""


class WireError(RefusedError):
    """Bytes that are no cheque in BTFS's JSON."""


class WrongBeneficiaryError(RefusedError):
    """A cheque that is made out to somebody else."""


class WrongTokenError(RefusedError):
    """A cheque of a token we do not take, or of a vault whose WBTT is not the real one."""


class NotGrowingError(RefusedError, StaleChequeError):
    """A cheque that is not higher than what we hold or were paid already."""


class TooLittleError(RefusedError):
    """A cheque that grows by less than is owed."""


class UnknownVaultError(RefusedError):
    """A cheque drawn on a contract that BTFS's factory has not deployed."""


class BrokenVaultError(RefusedError):
    """A vault that does not answer as vaults do."""


class WrongSignerError(RefusedError, BadSignatureError):
    """A cheque that is not signed by its vault's issuer."""


class BouncedBeforeError(RefusedError):
    """A vault that has failed to pay a cheque in full before."""


class UncoveredError(RefusedError):
    """A vault that does not hold what the cheque claims."""


class IssueError(ChequeError):
    """A cheque that must not be issued."""


class NotOurVaultError(IssueError):
    """A vault on which our key's cheques would not be paid."""


class OverdrawnError(IssueError):
    """A cheque that would promise more than our vault holds."""


class BookFullError(ChequeError):
    """No room for another vault or beneficiary."""
