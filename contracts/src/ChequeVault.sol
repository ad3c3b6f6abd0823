// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

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

    /// @dev `signature`: 65 bytes r, s, v over the cheque's EIP-712 digest; low s, v 27 or 28.
    struct SignedCheque {
        Cheque cheque;
        bytes signature;
    }

    /// @notice Why a cheque was not even tried. `None` stands for no objection.
    enum Reason {
        None,
        BadPayee,
        BadRecipient,
        NothingNew,
        BadSignature
    }

    /// @dev One slot: cashing reads and writes it once. `balance` includes `locked`, the sum of the payer's locks.
    struct Account {
        uint128 balance;
        uint128 locked;
    }

    /// @dev One slot: what a payer has paid to one payee so far, and what it keeps locked for it.
    struct Tab {
        uint128 paidOut;
        uint128 locked;
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

    mapping(address payer => Account) private _accounts;
    mapping(address payer => Notice) private _notices;
    mapping(address payer => mapping(address payee => Tab)) private _tabs;
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
        if (payer == address(0)) revert BadAddress(payer);
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
        amount = Math.min(amount, _accounts[msg.sender].balance);
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
        Account storage account = _accounts[msg.sender];
        amount = Math.min(notice_.amount, account.balance - account.locked);
        if (amount == 0) revert NothingThere();
        delete _notices[msg.sender];
        account.balance -= uint128(amount);
        emit Withdrawn(msg.sender, to, amount);
        token.safeTransfer(to, amount);
    }

    // --- locks -----------------------------------------------------------------------------------------------------

    /// @notice Keep `amount` more of the caller's free money for `payee` alone. Ends a pending unlock request.
    function lock(address payee, uint256 amount) external {
        if (payee == address(0) || payee == msg.sender) revert BadAddress(payee);
        if (amount == 0) revert NothingThere();
        Account storage account = _accounts[msg.sender];
        Tab storage tab = _tabs[msg.sender][payee];
        uint256 free = account.balance - account.locked;
        if (amount > free) revert NotCovered(free, amount);
        account.locked += uint128(amount);
        tab.locked += uint128(amount);
        delete _unlockableAt[msg.sender][payee];
        emit Locked(msg.sender, payee, amount, tab.locked);
    }

    /// @notice Announce that the caller wants to free what it has locked for `payee`.
    function requestUnlock(address payee) external {
        if (_tabs[msg.sender][payee].locked == 0) revert NothingThere();
        uint256 readyAt = block.timestamp + noticePeriod;
        _unlockableAt[msg.sender][payee] = readyAt;
        emit UnlockRequested(msg.sender, payee, readyAt);
    }

    /// @notice Free what is still locked for `payee`, once `noticePeriod` has passed since the request.
    function unlock(address payee) external returns (uint256 amount) {
        Tab storage tab = _tabs[msg.sender][payee];
        uint256 readyAt = _unlockableAt[msg.sender][payee];
        amount = tab.locked;
        if (readyAt == 0 || amount == 0) revert NothingThere();
        if (block.timestamp < readyAt) revert NotYet(readyAt);
        delete _unlockableAt[msg.sender][payee];
        tab.locked = 0;
        _accounts[msg.sender].locked -= uint128(amount);
        emit Unlocked(msg.sender, payee, amount);
    }

    // --- hot keys --------------------------------------------------------------------------------------------------

    /// @notice Let cheques signed by `hotKey` move up to `cap` of the caller's free money, counted from the first
    /// authorisation of this key on: to grant more, raise the cap. A cap above 112 bits counts as 2^112 - 1.
    function authorise(address hotKey, uint256 cap) external {
        if (hotKey == address(0) || hotKey == msg.sender) revert BadAddress(hotKey);
        HotKey storage key = _hotKeys[msg.sender][hotKey];
        cap = Math.min(cap, type(uint112).max);
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
        Reason reason;
        (reason, paid) = _draw(cheque, signature, recipient, domainSeparator());
        if (reason != Reason.None) revert ChequeRejected(reason);
        if (paid == 0) return 0;
        if (recipient == address(0)) _credit(cheque.payee, paid);
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
            Cheque calldata cheque = cheques[i].cheque;
            if (credit != 0 && (cheque.payee != creditor || cheque.payer == creditor)) {
                _credit(creditor, credit);
                credit = 0;
            }
            (Reason reason, uint256 drawn) = _draw(cheque, cheques[i].signature, recipient, separator);
            if (reason != Reason.None) {
                emit Rejected(cheque.payer, cheque.payee, reason);
            } else if (recipient == address(0)) {
                creditor = cheque.payee;
                credit += drawn;
            }
            paid += drawn;
        }
        if (credit != 0) _credit(creditor, credit);
        if (recipient != address(0) && paid != 0) token.safeTransfer(recipient, paid);
    }

    /// @dev Everything about a cheque except moving the money to the payee's side.
    function _draw(Cheque calldata cheque, bytes calldata signature, address recipient, bytes32 separator)
        private
        returns (Reason reason, uint256 paid)
    {
        (address payer, address payee, uint256 cumulative) = (cheque.payer, cheque.payee, cheque.cumulativePayout);
        if (payee == address(0) || payee == payer) return (Reason.BadPayee, 0);
        if (recipient == address(this)) return (Reason.BadRecipient, 0);
        if (recipient != address(0) && recipient != payee && msg.sender != payee) return (Reason.BadRecipient, 0);

        Tab memory tab = _tabs[payer][payee];
        if (cumulative <= tab.paidOut) return (Reason.NothingNew, 0);
        uint256 due = cumulative - tab.paidOut;

        address signer = _signer(_digest(separator, cheque), signature);
        HotKey memory key;
        if (signer != payer) {
            key = _hotKeys[payer][signer];
            if (signer == address(0) || key.validUntil < block.timestamp) return (Reason.BadSignature, 0);
        }

        Account memory account = _accounts[payer];
        // The paid-out total has 128 bits: what a cheque claims beyond that is never covered.
        uint256 most = Math.min(cumulative, type(uint128).max) - tab.paidOut;
        uint256 fromLocked = Math.min(most, tab.locked);
        uint256 fromFree = Math.min(most - fromLocked, account.balance - account.locked);
        if (signer != payer) {
            fromFree = Math.min(fromFree, Math.saturatingSub(key.cap, key.moved));
            if (fromFree != 0) _hotKeys[payer][signer].moved = uint112(key.moved + fromFree);
        }
        paid = fromLocked + fromFree;
        if (paid != 0) {
            _tabs[payer][payee] = Tab(uint128(tab.paidOut + paid), uint128(tab.locked - fromLocked));
            _accounts[payer] = Account(uint128(account.balance - paid), uint128(account.locked - fromLocked));
            emit Cashed(payer, payee, recipient, cumulative, paid);
        }
        if (paid != due) emit Bounced(payer, payee, cumulative, paid, due - paid);
    }

    function _credit(address payer, uint256 amount) private {
        _accounts[payer].balance += uint128(amount); // at most what the vault holds, which fits
    }

    /// @dev 0 unless the signature is 65 bytes, canonical (low s, v 27 or 28) and recovers to somebody.
    function _signer(bytes32 digest_, bytes calldata signature) private pure returns (address signer) {
        if (signature.length != 65) return address(0);
        (signer,,) = ECDSA.tryRecover(
            digest_, uint8(signature[64]), bytes32(signature[0:32]), bytes32(signature[32:64])
        );
    }

    function _digest(bytes32 separator, Cheque calldata cheque) private pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(
            separator, keccak256(abi.encode(CHEQUE_TYPE, cheque.payer, cheque.payee, cheque.cumulativePayout))
        );
    }

    // --- views -----------------------------------------------------------------------------------------------------

    /// @notice All of a payer's money here, locked and under notice included.
    function balance(address payer) external view returns (uint256) {
        return _accounts[payer].balance;
    }

    /// @notice What `payee` has drawn from `payer` so far.
    function paidOut(address payer, address payee) external view returns (uint256) {
        return _tabs[payer][payee].paidOut;
    }

    function locked(address payer, address payee) external view returns (uint256) {
        return _tabs[payer][payee].locked;
    }

    function lockedTotal(address payer) external view returns (uint256) {
        return _accounts[payer].locked;
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
        Account memory account = _accounts[payer];
        return account.balance - account.locked + _tabs[payer][payee].locked;
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
        return _digest(domainSeparator(), cheque);
    }
}
