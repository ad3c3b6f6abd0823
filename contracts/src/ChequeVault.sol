// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

/// @dev Two 128-bit amounts in one storage slot, read and written together.
type Pair is uint256;

using {first, second} for Pair;

function pair(uint256 first_, uint256 second_) pure returns (Pair) {
    return Pair.wrap((second_ << 128) | first_);
}

function first(Pair self) pure returns (uint256) {
    return uint128(Pair.unwrap(self));
}

function second(Pair self) pure returns (uint256) {
    return Pair.unwrap(self) >> 128;
}

/// @title Everybody's deposits in one token, drawn on by signed cumulative cheques.
///
/// @notice Theory of operation.
///
/// A payer deposits once and then pays any number of payees off chain: a cheque says "this payee may have drawn
/// `cumulativePayout` from me in all", so a newer cheque replaces the older ones, order does not matter, and a cheque
/// that was cashed is worth nothing any more. The vault remembers what each payer has paid each payee and pays the
/// difference as far as it is covered. What is not covered is reported (`Bounced`) and not forgotten: the same cheque
/// draws the rest once there is money.
///
/// A payer's balance has two parts. *Locked* money serves one payee only; *free* money serves whoever comes first. Both
/// leave by cheque at once, but go back to the payer only after `noticePeriod`: free money by `giveNotice` and
/// `withdraw`, locked money by `requestUnlock` and `unlock` (which makes it free). Cheques draw locked money first, and
/// money under notice is still there to be drawn.
///
/// Cheques are signed by the payer's own key without a bound, or by a hot key the payer has authorised. A hot key moves
/// at most its cap of *free* money. Locked money is bounded by the lock itself, and neither cap nor revocation may take
/// it from its payee overnight: a revoked key's cheques still draw on it for one more `noticePeriod`.
///
/// Amounts are units of the token. The vault never holds more than 128 bits can count, so no single balance, lock or
/// credit can overflow; a hot key's cap has 112 bits, which is 5 times BTT's supply.
contract ChequeVault is ReentrancyGuard {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;

    // --- types -----------------------------------------------------------------------------------------------------

    struct Cheque {
        address payer;
        address payee;
        uint256 cumulativePayout;
    }

    /// @dev The signature in EIP-2098's compact form, 64 bytes in all: `vs` is s with v - 27 in its highest bit.
    struct SignedCheque {
        Cheque cheque;
        bytes32 r;
        bytes32 vs;
    }

    /// @notice Why a cheque was not even tried. `None` stands for no objection.
    enum Reason {
        None,
        BadPayee,
        BadRecipient,
        NothingNew,
        BadSignature
    }

    /// @dev A storage place that can be pointed to.
    struct Box {
        Pair pair;
    }

    /// @dev One slot: `amount` may be withdrawn from time `readyAt`; no notice where `amount` is 0.
    struct Notice {
        uint128 amount;
        uint64 readyAt;
    }

    /// @dev One slot: `validUntil` is 0 for a stranger and `FOREVER` (the year 2106) for a key that is not revoked.
    struct HotKey {
        uint112 cap;
        uint112 moved;
        uint32 validUntil;
    }

    // --- state -----------------------------------------------------------------------------------------------------

    uint32 private constant FOREVER = type(uint32).max;

    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant DOMAIN_NAME = keccak256("BttVault");
    bytes32 private constant DOMAIN_VERSION = keccak256("1");
    bytes32 private constant CHEQUE_TYPE = keccak256("Cheque(address payer,address payee,uint256 cumulativePayout)");

    /// @notice The token of all deposits.
    IERC20 public immutable token;

    /// @notice Seconds between the wish to take money out and the moment it may leave.
    uint256 public immutable noticePeriod;

    /// @dev A payer's whole balance, and how much of it is locked for payees.
    mapping(address payer => Box) private _accounts;
    mapping(address payer => Notice) private _notices;
    /// @dev What a payer has paid to a payee so far, and what it keeps locked for it.
    mapping(address payer => mapping(address payee => Box)) private _tabs;
    mapping(address payer => mapping(address payee => uint256)) private _unlockableAt;
    mapping(address payer => mapping(address key => HotKey)) private _hotKeys;

    // --- events and errors -----------------------------------------------------------------------------------------

    event Deposited(address indexed payer, address indexed from, uint256 amount);
    event NoticeGiven(address indexed payer, uint256 amount, uint256 readyAt);
    event NoticeCancelled(address indexed payer);
    event Withdrawn(address indexed payer, address indexed to, uint256 amount);
    /// @dev Also ends a pending unlock request.
    event Locked(address indexed payer, address indexed payee, uint256 amount, uint256 total);
    event UnlockRequested(address indexed payer, address indexed payee, uint256 readyAt);
    event Unlocked(address indexed payer, address indexed payee, uint256 amount);
    event Authorised(address indexed payer, address indexed hotKey, uint256 cap);
    event Revoked(address indexed payer, address indexed hotKey);
    /// @dev `recipient` 0: credited to the payee's own balance in this vault.
    event Cashed(
        address indexed payer, address indexed payee, address recipient, uint256 cumulativePayout, uint256 paid
    );
    /// @dev `paid` (if any) is in a `Cashed` event of its own; `missing` was due and not covered.
    event Bounced(
        address indexed payer, address indexed payee, uint256 cumulativePayout, uint256 paid, uint256 missing
    );
    event Rejected(address indexed payer, address indexed payee, Reason reason);

    error ChequeRejected(Reason reason);
    error BadAddress(address given);
    error BadNoticePeriod(uint256 given);
    error NothingThere();
    error NotCovered(uint256 free, uint256 wanted);
    error NotYet(uint256 readyAt);

    constructor(IERC20 token_, uint256 noticePeriod_) {
        if (address(token_) == address(0)) revert BadAddress(address(token_));
        if (noticePeriod_ > 365 days) revert BadNoticePeriod(noticePeriod_);
        token = token_;
        noticePeriod = noticePeriod_;
    }

    // --- money in --------------------------------------------------------------------------------------------------

    /// @notice Add `amount` to the caller's balance; the vault needs an allowance for it.
    function deposit(uint256 amount) external {
        depositFor(msg.sender, amount);
    }

    /// @notice Add `amount` of the caller's tokens to `payer`'s balance. What arrives counts, not what was sent.
    function depositFor(address payer, uint256 amount) public nonReentrant {
        if (payer == address(0) || payer == address(this)) revert BadAddress(payer);
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 arrived = token.balanceOf(address(this)).toUint128() - before;
        if (arrived == 0) revert NothingThere();
        _credit(payer, arrived);
        emit Deposited(payer, msg.sender, arrived);
    }

    // --- money out, by notice --------------------------------------------------------------------------------------

    /// @notice Announce a withdrawal of `amount`, or of all where it is more than all. Replaces an earlier notice.
    function giveNotice(uint256 amount) external {
        amount = _min(amount, _accounts[msg.sender].pair.first());
        if (amount == 0) revert NothingThere();
        uint256 readyAt = block.timestamp + noticePeriod;
        _notices[msg.sender] = Notice(amount.toUint128(), readyAt.toUint64());
        emit NoticeGiven(msg.sender, amount, readyAt);
    }

    function cancelNotice() external {
        if (_notices[msg.sender].amount == 0) revert NothingThere();
        delete _notices[msg.sender];
        emit NoticeCancelled(msg.sender);
    }

    /// @notice Pay the amount under notice, or what is still there and not locked, to `to`. The notice is used up.
    function withdraw(address to) external nonReentrant returns (uint256 amount) {
        if (to == address(0) || to == address(this)) revert BadAddress(to);
        Notice memory notice_ = _notices[msg.sender];
        if (notice_.amount == 0) revert NothingThere();
        if (block.timestamp < notice_.readyAt) revert NotYet(notice_.readyAt);
        Pair account = _accounts[msg.sender].pair;
        amount = _min(notice_.amount, account.first() - account.second());
        if (amount == 0) revert NothingThere();
        delete _notices[msg.sender];
        _accounts[msg.sender].pair = pair(account.first() - amount, account.second());
        emit Withdrawn(msg.sender, to, amount);
        token.safeTransfer(to, amount);
    }

    // --- locks -----------------------------------------------------------------------------------------------------

    /// @notice Keep `amount` more of the caller's free money for `payee` alone. Ends a pending unlock request.
    function lock(address payee, uint256 amount) external {
        if (payee == address(0) || payee == msg.sender) revert BadAddress(payee);
        if (amount == 0) revert NothingThere();
        Pair account = _accounts[msg.sender].pair;
        Pair tab = _tabs[msg.sender][payee].pair;
        uint256 free = account.first() - account.second();
        if (amount > free) revert NotCovered(free, amount);
        _accounts[msg.sender].pair = pair(account.first(), account.second() + amount);
        _tabs[msg.sender][payee].pair = pair(tab.first(), tab.second() + amount);
        delete _unlockableAt[msg.sender][payee];
        emit Locked(msg.sender, payee, amount, tab.second() + amount);
    }

    /// @notice Announce that the caller wants to free what it has locked for `payee`.
    function requestUnlock(address payee) external {
        if (_tabs[msg.sender][payee].pair.second() == 0) revert NothingThere();
        uint256 readyAt = block.timestamp + noticePeriod;
        _unlockableAt[msg.sender][payee] = readyAt;
        emit UnlockRequested(msg.sender, payee, readyAt);
    }

    /// @notice Free what is still locked for `payee`, once `noticePeriod` has passed since the request.
    function unlock(address payee) external returns (uint256 amount) {
        Pair account = _accounts[msg.sender].pair;
        Pair tab = _tabs[msg.sender][payee].pair;
        uint256 readyAt = _unlockableAt[msg.sender][payee];
        amount = tab.second();
        if (readyAt == 0 || amount == 0) revert NothingThere();
        if (block.timestamp < readyAt) revert NotYet(readyAt);
        delete _unlockableAt[msg.sender][payee];
        _accounts[msg.sender].pair = pair(account.first(), account.second() - amount);
        _tabs[msg.sender][payee].pair = pair(tab.first(), 0);
        emit Unlocked(msg.sender, payee, amount);
    }

    // --- hot keys --------------------------------------------------------------------------------------------------

    /// @notice Let cheques signed by `hotKey` move up to `cap` of the caller's free money, counted from the first
    /// authorisation of this key on: to grant more, raise the cap. A cap above 112 bits counts as 2^112 - 1.
    function authorise(address hotKey, uint256 cap) external {
        if (hotKey == address(0) || hotKey == msg.sender) revert BadAddress(hotKey);
        HotKey storage key = _hotKeys[msg.sender][hotKey];
        cap = _min(cap, type(uint112).max);
        key.cap = uint112(cap);
        key.validUntil = FOREVER;
        emit Authorised(msg.sender, hotKey, cap);
    }

    /// @notice Take `hotKey`'s power over free money away now, and over locked money after `noticePeriod`.
    function revoke(address hotKey) external {
        HotKey storage key = _hotKeys[msg.sender][hotKey];
        if (key.validUntil != FOREVER) revert NothingThere();
        key.cap = 0;
        key.validUntil = (block.timestamp + noticePeriod).toUint32();
        emit Revoked(msg.sender, hotKey);
    }

    // --- cheques ---------------------------------------------------------------------------------------------------

    /// @notice Draw what `cheque` is good for. Anybody may hand it in for the payee: to the payee's wallet
    /// (`recipient` is the payee) or to its balance here (`recipient` 0). Only the payee may name another recipient.
    /// @return paid what was covered; the rest is in `Bounced`. Reverts with `ChequeRejected` where nothing is due.
    function cash(Cheque calldata cheque, bytes calldata signature, address recipient)
        external
        nonReentrant
        returns (uint256 paid)
    {
        (address payer, address payee, uint256 cumulative) = (cheque.payer, cheque.payee, cheque.cumulativePayout);
        Reason reason;
        (bytes32 r, bytes32 vs) = _compact(signature);
        (reason, paid) = _draw(payer, payee, cumulative, r, vs, recipient, domainSeparator());
        if (reason != Reason.None) revert ChequeRejected(reason);
        if (paid == 0) return 0;
        if (recipient == address(0)) _credit(payee, paid);
        else token.safeTransfer(recipient, paid);
    }

    /// @notice `cash` for many cheques and one `recipient`, with one transfer. A cheque that cannot be tried is reported
    /// in `Rejected` and does not hold up the others. `recipient` 0 credits each payee's own balance.
    /// @return paid the sum of what was covered.
    function cashMany(SignedCheque[] calldata cheques, address recipient) external nonReentrant returns (uint256 paid) {
        bytes32 separator = domainSeparator();
        // Credits to one payee in a row are written once; they must stand before that payee's own cheques are tried.
        address creditor;
        uint256 credit;
        for (uint256 i = 0; i < cheques.length; ++i) {
            SignedCheque calldata signed = cheques[i];
            (address payer, address payee) = (signed.cheque.payer, signed.cheque.payee);
            if (credit != 0 && (payee != creditor || payer == creditor)) {
                _credit(creditor, credit);
                credit = 0;
            }
            (Reason reason, uint256 drawn) =
                _draw(payer, payee, signed.cheque.cumulativePayout, signed.r, signed.vs, recipient, separator);
            if (reason != Reason.None) {
                emit Rejected(payer, payee, reason);
                continue;
            }
            // What was drawn lay in this vault, whose total fits 128 bits; no list is long enough to overflow 256.
            unchecked {
                paid += drawn;
                if (recipient == address(0)) {
                    creditor = payee;
                    credit += drawn;
                }
            }
        }
        if (credit != 0) _credit(creditor, credit);
        if (recipient != address(0) && paid != 0) token.safeTransfer(recipient, paid);
    }

    /// @dev Everything about a cheque except moving the money to the payee's side.
    function _draw(
        address payer,
        address payee,
        uint256 cumulative,
        bytes32 r,
        bytes32 vs,
        address recipient,
        bytes32 separator
    ) private returns (Reason reason, uint256 paid) {
        if (payee == address(0) || payee == payer || payee == address(this)) return (Reason.BadPayee, 0);
        if (recipient != address(0) && recipient != payee && (msg.sender != payee || recipient == address(this))) {
            return (Reason.BadRecipient, 0);
        }

        Box storage tabBox = _tabs[payer][payee];
        Pair tab = tabBox.pair;
        if (cumulative <= tab.first()) return (Reason.NothingNew, 0);

        // The zero address stands for a signature that is not canonical or recovers to nobody.
        (address signer,,) = ECDSA.tryRecover(_digest(separator, payer, payee, cumulative), r, vs);
        if (signer != payer && (signer == address(0) || _hotKeys[payer][signer].validUntil < block.timestamp)) {
            return (Reason.BadSignature, 0);
        }

        // Nothing below can overflow: each step takes from a 128-bit number at most what is in it.
        unchecked {
            Box storage accountBox = _accounts[payer];
            Pair account = accountBox.pair;
            // The paid-out total has 128 bits: what a cheque claims beyond that is never covered.
            uint256 most = _min(cumulative, type(uint128).max) - tab.first();
            uint256 fromLocked = _min(most, tab.second());
            uint256 fromFree = _min(most - fromLocked, account.first() - account.second());
            if (signer != payer) {
                HotKey storage key = _hotKeys[payer][signer];
                (uint256 cap, uint256 moved) = (key.cap, key.moved);
                fromFree = _min(fromFree, cap > moved ? cap - moved : 0);
                if (fromFree != 0) key.moved = uint112(moved + fromFree);
            }
            paid = fromLocked + fromFree;
            if (paid != 0) {
                tabBox.pair = pair(tab.first() + paid, tab.second() - fromLocked);
                accountBox.pair = pair(account.first() - paid, account.second() - fromLocked);
                emit Cashed(payer, payee, recipient, cumulative, paid);
            }
            uint256 missing = cumulative - tab.first() - paid;
            if (missing != 0) emit Bounced(payer, payee, cumulative, paid, missing);
        }
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }

    function _credit(address payer, uint256 amount) private {
        Box storage box = _accounts[payer];
        box.pair = pair(box.pair.first() + amount, box.pair.second()); // at most what the vault holds: it fits
    }

    /// @dev 65 bytes r, s, v in EIP-2098's form; zeros, which recover to nobody, where they do not fit it.
    function _compact(bytes calldata signature) private pure returns (bytes32 r, bytes32 vs) {
        if (signature.length != 65) return (0, 0);
        uint256 v = uint8(signature[64]);
        uint256 s = uint256(bytes32(signature[32:64]));
        if ((v != 27 && v != 28) || s >> 255 != 0) return (0, 0);
        return (bytes32(signature[0:32]), bytes32(s | ((v - 27) << 255)));
    }

    function _digest(bytes32 separator, address payer, address payee, uint256 cumulative)
        private
        pure
        returns (bytes32)
    {
        bytes32 typeHash = CHEQUE_TYPE;
        bytes32 structHash;
        // keccak256(abi.encode(...)) without allocating: every cheque of a long list would make memory dearer.
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore(free, typeHash)
            mstore(add(free, 0x20), payer)
            mstore(add(free, 0x40), payee)
            mstore(add(free, 0x60), cumulative)
            structHash := keccak256(free, 0x80)
        }
        return MessageHashUtils.toTypedDataHash(separator, structHash);
    }

    // --- views -----------------------------------------------------------------------------------------------------

    /// @notice All of a payer's money here, locked and under notice included.
    function balance(address payer) external view returns (uint256) {
        return _accounts[payer].pair.first();
    }

    /// @notice What `payee` has drawn from `payer` so far.
    function paidOut(address payer, address payee) external view returns (uint256) {
        return _tabs[payer][payee].pair.first();
    }

    function locked(address payer, address payee) external view returns (uint256) {
        return _tabs[payer][payee].pair.second();
    }

    function lockedTotal(address payer) external view returns (uint256) {
        return _accounts[payer].pair.second();
    }

    /// @notice When `unlock` is possible, in Unix seconds; 0 where no request is pending.
    function unlockableAt(address payer, address payee) external view returns (uint256) {
        return _unlockableAt[payer][payee];
    }

    /// @notice The pending notice of a payer: `amount` 0 for none.
    function notice(address payer) external view returns (uint256 amount, uint256 readyAt) {
        return (_notices[payer].amount, _notices[payer].readyAt);
    }

    /// @notice What a new cheque signed by the payer itself could draw for `payee` now.
    function available(address payer, address payee) external view returns (uint256) {
        Pair account = _accounts[payer].pair;
        return account.first() - account.second() + _tabs[payer][payee].pair.second();
    }

    /// @notice How much free money a hot key may move in all, and how much it has moved. Revoked: `cap` is 0.
    function authorised(address payer, address hotKey) external view returns (uint256 cap, uint256 moved) {
        return (_hotKeys[payer][hotKey].cap, _hotKeys[payer][hotKey].moved);
    }

    /// @notice EIP-712 domain separator. The chain id is taken modulo 2^32, because the TVM's `block.chainid` is the
    /// whole genesis block id on some networks and its last four bytes on others.
    function domainSeparator() public view returns (bytes32) {
        return keccak256(
            abi.encode(DOMAIN_TYPE, DOMAIN_NAME, DOMAIN_VERSION, block.chainid & 0xffffffff, address(this))
        );
    }

    /// @notice The 32 bytes a cheque's signature is over.
    function digest(Cheque calldata cheque) external view returns (bytes32) {
        return _digest(domainSeparator(), cheque.payer, cheque.payee, cheque.cumulativePayout);
    }
}
