// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {Bep52} from "./lib/Bep52.sol";
import {Bits} from "./lib/Bits.sol";
import {StorageContract, Terms} from "./lib/Terms.sol";

/// @title Escrow, collateral and proofs for rented disk.
///
/// @notice Theory of operation.
///
/// Renter and host sign one `StorageContract` off chain; whoever submits it before it starts locks the renter's
/// escrow (its whole price) and the host's collateral. Only two words of state are kept for it: the terms come along
/// with every call, and their EIP-712 digest, the contract's *id*, names them. Time is cut into epochs, and a bit per
/// epoch says whether it is paid, so none is ever paid twice, in whatever order vouchers and proofs arrive.
///
/// *An epoch is earned* in one of two ways. By voucher: renter or auditor signs "epochs 0 to n - 1 are paid", for
/// epochs that have begun; one voucher at the end settles everything. By proof, where they are silent: during the
/// epoch after it, the host calls `beginProof`, whose next block's hash chooses a block of the file, and shows that
/// block with its path: so whoever deletes early is not paid, for the last epoch neither. `beginProof` is open to the
/// host alone and once per epoch: it cannot know the hash when it commits, cannot commit again when it dislikes the
/// choice, and nobody can start the clock for it. A hash can be read for 256 blocks (8 minutes on BTTC, 12 on TRON);
/// a host that lets them pass has lost its proof of this epoch, and nothing else.
///
/// *A silent host*: renter or auditor put down a bond and name a block of the file, for an audit has often told them
/// which one is missing. Anybody may answer, for what is asked is data and not a signature. Answered within
/// `answerPeriod`, the bond goes to the payee, so asking is a purchase and spamming a gift. Unanswered, the contract
/// has failed: bond back to the challenger, unearned escrow and all collateral to the renter, who needs them to store
/// the shard elsewhere. To provoke this pays for nobody: a host that has its data answers from any machine and earns
/// the bond; an auditor gains nothing either way; a renter that never delivered the data meets `callOff`, with which
/// a host that lacks the shard walks away before the start; and no other way out costs a host as much as to fail on
/// purpose.
///
/// *The ways out*: before the start either side may `callOff`; both may `cancel` at any time; `handOver` cancels and
/// opens the contract of a replacement in one step; a host may `exit` alone, holding the shard to the end of the next
/// epoch and paying half the collateral's share of the rest of the term; and `close` ends what ran its term, which
/// anybody may call. A term is at most five years long and begins at most five years ahead (until when either side
/// may call it off), so whoever vanishes, nobody's money stays locked for ever.
///
/// Clocks: all bounds are block times, which producers can shift by seconds; epochs and answer periods are hours or
/// days. For the proof of one epoch a producer could choose among hashes, at the price of its block.
///
/// Money is in units of the token. What is not locked may be withdrawn at once. The market's token balance is the sum
/// of all balances and of what running contracts and open challenges have locked.
contract StorageMarket is ReentrancyGuard {
    using SafeERC20 for IERC20;
    using Terms for StorageContract;

    // --- types -----------------------------------------------------------------------------------------------------

    enum Status {
        Unknown,
        Active,
        CalledOff,
        Completed,
        Cancelled,
        Failed
    }

    /// @dev Two slots. `epochs`: how many it runs, fewer than agreed after an exit. `attempt`: one more than the last
    /// epoch a proof was begun for; `seedBlock`'s hash chooses. `answerBy`: 0 where no challenge is open.
    struct State {
        Status status;
        bool byAuditor;
        uint16 epochs;
        uint16 attempt;
        uint64 seedBlock;
        uint40 answerBy;
        uint64 index;
        uint256 paid;
    }

    // --- state -----------------------------------------------------------------------------------------------------

    /// @notice The token of all money here.
    IERC20 public immutable token;

    /// @notice What a challenge costs who loses it: should be what a transaction with 16 KiB of data costs, and some.
    uint256 public immutable challengeBond;

    /// @notice Seconds a host has to answer a challenge.
    uint256 public immutable answerPeriod;

    /// @notice What an account may spend or withdraw. Locked money is in nobody's balance.
    mapping(address account => uint256) public balance;
    mapping(bytes32 id => State) private _states;

    // --- events and errors -----------------------------------------------------------------------------------------

    event Deposited(address indexed account, address indexed from, uint256 amount);
    event Withdrawn(address indexed account, address indexed to, uint256 amount);
    /// @dev All of the terms, so that they can be found again with nothing but a key.
    event Opened(
        bytes32 indexed id,
        address indexed renter,
        address indexed host,
        bytes32 root,
        uint64 length,
        address payee,
        address auditor,
        uint64 start,
        uint32 epochs,
        uint32 epochLength,
        uint256 pricePerEpoch,
        uint256 collateral,
        uint256 nonce
    );
    /// @dev `epochs` were paid just now, for `amount`.
    event Settled(bytes32 indexed id, address indexed payee, uint256 throughEpoch, uint256 epochs, uint256 amount);
    event ProofBegun(bytes32 indexed id, uint256 epoch, uint256 seedBlock);
    event Proved(bytes32 indexed id, address indexed payee, uint256 epoch, uint256 index, uint256 amount);
    event Challenged(bytes32 indexed id, address indexed challenger, uint256 index, uint256 answerBy);
    event Answered(bytes32 indexed id, address indexed payee, uint256 index, uint256 bond);
    /// @dev The contract ends after `epochs`; `fee` and `refund` went to the renter.
    event Exiting(bytes32 indexed id, uint256 epochs, uint256 fee, uint256 refund);
    event HandedOver(bytes32 indexed id, bytes32 indexed successor);
    /// @dev Nothing is locked any more; what payees got is in `Settled` and `Proved`.
    event Ended(bytes32 indexed id, Status status, uint256 toRenter, uint256 toHost);

    error BadAddress(address given);
    error BadAnswerPeriod(uint256 given);
    error BadSignature();
    error BadEpoch(uint256 given, uint256 most);
    error BadIndex(uint256 given, uint256 blocks);
    error BadProof();
    error BadSuccessor();
    error WrongStatus(Status status);
    error NotCovered(address account, uint256 has, uint256 wanted);
    error NotAllowed(address caller);
    error NothingThere();
    error NotYet(uint256 readyAt);
    error TooLate(uint256 deadline);
    error AlreadyBegun(uint256 epoch);
    error SeedNotYet(uint256 seedBlock);
    error SeedLost(uint256 seedBlock);
    error ChallengeOpen(uint256 answerBy);
    error NoChallenge();

    constructor(IERC20 token_, uint256 challengeBond_, uint256 answerPeriod_) {
        if (address(token_) == address(0)) revert BadAddress(address(token_));
        if (answerPeriod_ == 0 || answerPeriod_ > 365 days) revert BadAnswerPeriod(answerPeriod_);
        token = token_;
        challengeBond = challengeBond_;
        answerPeriod = answerPeriod_;
    }

    // --- balances --------------------------------------------------------------------------------------------------

    /// @notice Add `amount` to the caller's balance; the market needs an allowance for it.
    function deposit(uint256 amount) external {
        depositFor(msg.sender, amount);
    }

    /// @notice Add `amount` of the caller's tokens to `account`'s balance. What arrives counts, not what was sent.
    function depositFor(address account, uint256 amount) public nonReentrant {
        if (account == address(0) || account == address(this)) revert BadAddress(account);
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 arrived = token.balanceOf(address(this)) - before;
        if (arrived == 0) revert NothingThere();
        balance[account] += arrived;
        emit Deposited(account, msg.sender, arrived);
    }

    /// @notice Take `amount` out of the caller's balance to `to`, at once.
    function withdraw(uint256 amount, address to) external nonReentrant {
        if (to == address(0) || to == address(this)) revert BadAddress(to);
        if (amount == 0) revert NothingThere();
        _debit(msg.sender, amount);
        emit Withdrawn(msg.sender, to, amount);
        token.safeTransfer(to, amount);
    }

    // --- beginning and ending a contract ---------------------------------------------------------------------------

    /// @notice Put a contract that both sides have signed into force. Anybody may submit it, until it starts.
    function open(StorageContract calldata terms, bytes calldata renterSignature, bytes calldata hostSignature)
        external
        returns (bytes32 id)
    {
        return _open(terms, renterSignature, hostSignature);
    }

    /// @notice Renter or host: this contract shall not be, whether it was opened or only signed. Until it starts.
    function callOff(StorageContract calldata terms) external {
        if (msg.sender != terms.renter && msg.sender != terms.host) revert NotAllowed(msg.sender);
        if (block.timestamp >= terms.start) revert TooLate(terms.start);
        bytes32 id = digest(terms);
        State storage state = _states[id];
        if (state.status == Status.Active) {
            _end(id, state, terms, Status.CalledOff, terms.collateral);
        } else if (state.status == Status.Unknown) {
            state.status = Status.CalledOff;
            emit Ended(id, Status.CalledOff, 0, 0);
        } else {
            revert WrongStatus(state.status);
        }
    }

    /// @notice End a contract as both sides signed it: epochs 0 to `throughEpoch` - 1 are paid, past or not. Such a
    /// signature has no expiry: whoever gives it treats the contract as over; a host hands its vouchers in before.
    function cancel(
        StorageContract calldata terms,
        uint32 throughEpoch,
        bytes calldata renterSignature,
        bytes calldata hostSignature
    ) external {
        _cancel(terms, throughEpoch, renterSignature, hostSignature);
    }

    /// @notice `cancel` one contract and `open` another on the same shard, with another host or other terms: both or
    /// neither, and the renter's money goes from the one to the other. Signatures: the renter's, then the host's.
    function handOver(
        StorageContract calldata terms,
        uint32 throughEpoch,
        bytes[2] calldata cancelSignatures,
        StorageContract calldata next,
        bytes[2] calldata openSignatures
    ) external returns (bytes32 successor) {
        bool same = next.root == terms.root && next.length == terms.length && next.renter == terms.renter;
        if (!same) revert BadSuccessor();
        bytes32 id = _cancel(terms, throughEpoch, cancelSignatures[0], cancelSignatures[1]);
        successor = _open(next, openSignatures[0], openSignatures[1]);
        emit HandedOver(id, successor);
    }

    /// @notice The host leaves: it holds the shard to the end of the next epoch, is paid for what it earns until then,
    /// and pays the renter half the collateral's share of the epochs after that, which are the renter's again.
    function exit(StorageContract calldata terms) external {
        if (msg.sender != terms.host) revert NotAllowed(msg.sender);
        (bytes32 id, State storage state) = _active(terms);
        if (state.answerBy != 0) revert ChallengeOpen(state.answerBy);
        if (block.timestamp < terms.start) revert NotYet(terms.start);
        uint256 epochs = terms.begun() + 1;
        if (epochs >= state.epochs) revert TooLate(terms.end(state.epochs));
        state.epochs = uint16(epochs);
        uint256 fee = terms.exitFee(epochs);
        uint256 refund = (terms.epochs - epochs) * terms.pricePerEpoch;
        balance[terms.renter] += fee + refund;
        emit Exiting(id, epochs, fee, refund);
    }

    /// @notice End a contract that ran its term: when all is paid, or when the last epoch cannot be proved any more.
    function close(StorageContract calldata terms) external {
        (bytes32 id, State storage state) = _active(terms);
        uint256 ready = _closableAt(terms, state);
        if (block.timestamp < ready) revert NotYet(ready);
        if (state.answerBy != 0) revert ChallengeOpen(state.answerBy);
        _end(id, state, terms, Status.Completed, _collateral(terms, state));
    }

    // --- earning ---------------------------------------------------------------------------------------------------

    /// @notice Pay those of epochs 0 to `throughEpoch` - 1 that are not paid; signed by renter or auditor. Anybody may
    /// submit it. Closes the contract where this was all that was missing.
    function settle(StorageContract calldata terms, uint32 throughEpoch, bytes calldata signature) external {
        (bytes32 id, State storage state) = _active(terms);
        uint256 begun = terms.begun();
        uint256 most = begun < state.epochs ? begun : state.epochs;
        if (throughEpoch == 0 || throughEpoch > most) revert BadEpoch(throughEpoch, most);
        address signer = Terms.signer(voucherDigest(id, throughEpoch), signature);
        if (signer == address(0) || (signer != terms.renter && signer != terms.auditor)) revert BadSignature();
        if (_pay(id, state, terms, throughEpoch) == 0) revert NothingThere();
        if (block.timestamp >= _closableAt(terms, state) && state.answerBy == 0) {
            _end(id, state, terms, Status.Completed, _collateral(terms, state));
        }
    }

    /// @notice The host wants to prove the epoch that ended last: the next block's hash will choose what to show. For
    /// the last epoch with minutes to spare: as soon as it cannot be begun any more, anybody may close the contract.
    function beginProof(StorageContract calldata terms) external returns (uint256 epoch) {
        if (msg.sender != terms.host) revert NotAllowed(msg.sender);
        (bytes32 id, State storage state) = _active(terms);
        uint256 ready = uint256(terms.start) + terms.epochLength;
        if (block.timestamp < ready) revert NotYet(ready);
        epoch = (block.timestamp - ready) / terms.epochLength;
        if (epoch >= state.epochs) revert TooLate(terms.end(state.epochs) + terms.epochLength);
        if (Bits.has(state.paid, epoch)) revert NothingThere();
        if (state.attempt > epoch) revert AlreadyBegun(epoch);
        state.attempt = uint16(epoch + 1);
        state.seedBlock = uint64(block.number + 1);
        emit ProofBegun(id, epoch, block.number + 1);
    }

    /// @notice Show the block that was chosen, and be paid for the epoch. Anybody may submit it. For 256 blocks.
    function prove(StorageContract calldata terms, bytes calldata data, bytes32[] calldata path) external {
        (bytes32 id, State storage state) = _active(terms);
        (uint256 epoch, uint256 index) = _chosen(id, state, terms);
        if (!Bep52.holds(terms.root, terms.length, index, data, path)) revert BadProof();
        state.paid |= 1 << epoch;
        balance[terms.payee] += terms.pricePerEpoch;
        emit Proved(id, terms.payee, epoch, index, terms.pricePerEpoch);
    }

    // --- challenges ------------------------------------------------------------------------------------------------

    /// @notice Renter or auditor: show block `index` of the shard within `answerPeriod`. The caller's balance pays the
    /// bond. One at a time, from the start to the end of the term.
    function challenge(StorageContract calldata terms, uint256 index) external {
        if (msg.sender != terms.renter && msg.sender != terms.auditor) revert NotAllowed(msg.sender);
        (bytes32 id, State storage state) = _active(terms);
        if (state.answerBy != 0) revert ChallengeOpen(state.answerBy);
        if (block.timestamp < terms.start) revert NotYet(terms.start);
        uint256 end = terms.end(state.epochs);
        if (block.timestamp >= end) revert TooLate(end);
        uint256 blocks = Bep52.blocks(terms.length);
        if (index >= blocks) revert BadIndex(index, blocks);
        _debit(msg.sender, challengeBond);
        state.byAuditor = msg.sender != terms.renter;
        state.index = uint64(index);
        state.answerBy = uint40(block.timestamp + answerPeriod);
        emit Challenged(id, msg.sender, index, state.answerBy);
    }

    /// @notice Answer the open challenge. Anybody may; `challengeBond` goes to the payee.
    function answer(StorageContract calldata terms, bytes calldata data, bytes32[] calldata path) external {
        (bytes32 id, State storage state) = _active(terms);
        uint256 answerBy = state.answerBy;
        if (answerBy == 0) revert NoChallenge();
        if (block.timestamp > answerBy) revert TooLate(answerBy);
        if (!Bep52.holds(terms.root, terms.length, state.index, data, path)) revert BadProof();
        state.answerBy = 0;
        balance[terms.payee] += challengeBond;
        emit Answered(id, terms.payee, state.index, challengeBond);
    }

    /// @notice End a contract whose challenge was not answered in time. Anybody may. Vouchers that nobody settled until
    /// then, with all of `answerPeriod` to do it in, are void.
    function fail(StorageContract calldata terms) external {
        (bytes32 id, State storage state) = _active(terms);
        if (state.answerBy == 0) revert NoChallenge();
        if (block.timestamp <= state.answerBy) revert NotYet(uint256(state.answerBy) + 1);
        _end(id, state, terms, Status.Failed, 0);
    }

    // --- the parts -------------------------------------------------------------------------------------------------

    function _open(StorageContract calldata terms, bytes calldata renterSignature, bytes calldata hostSignature)
        private
        returns (bytes32 id)
    {
        id = digest(terms);
        State storage state = _states[id];
        if (state.status != Status.Unknown) revert WrongStatus(state.status);
        terms.check();
        if (block.timestamp >= terms.start) revert TooLate(terms.start);
        _require(id, renterSignature, terms.renter);
        _require(id, hostSignature, terms.host);
        state.status = Status.Active;
        state.epochs = uint16(terms.epochs);
        _debit(terms.renter, terms.epochs * terms.pricePerEpoch);
        _debit(terms.host, terms.collateral);
        emit Opened(
            id,
            terms.renter,
            terms.host,
            terms.root,
            terms.length,
            terms.payee,
            terms.auditor,
            terms.start,
            terms.epochs,
            terms.epochLength,
            terms.pricePerEpoch,
            terms.collateral,
            terms.nonce
        );
    }

    function _cancel(
        StorageContract calldata terms,
        uint32 throughEpoch,
        bytes calldata renterSignature,
        bytes calldata hostSignature
    ) private returns (bytes32 id) {
        State storage state;
        (id, state) = _active(terms);
        if (throughEpoch > state.epochs) revert BadEpoch(throughEpoch, state.epochs);
        bytes32 message = cancelDigest(id, throughEpoch);
        _require(message, renterSignature, terms.renter);
        _require(message, hostSignature, terms.host);
        if (throughEpoch != 0) _pay(id, state, terms, throughEpoch);
        _end(id, state, terms, Status.Cancelled, _collateral(terms, state));
    }

    /// @dev Pays the unpaid ones of the first `throughEpoch` epochs, of which there is at least one.
    function _pay(bytes32 id, State storage state, StorageContract calldata terms, uint256 throughEpoch)
        private
        returns (uint256 epochs)
    {
        uint256 due = Bits.first(throughEpoch) & ~state.paid;
        epochs = Bits.count(due);
        if (epochs == 0) return 0;
        state.paid |= due;
        uint256 amount = epochs * terms.pricePerEpoch;
        balance[terms.payee] += amount;
        emit Settled(id, terms.payee, throughEpoch, epochs, amount);
    }

    /// @dev Releases everything: a bond to the challenger, `toHost` of the collateral, the rest to the renter.
    function _end(bytes32 id, State storage state, StorageContract calldata terms, Status status, uint256 toHost)
        private
    {
        uint256 unearned = (state.epochs - Bits.count(state.paid)) * terms.pricePerEpoch;
        uint256 toRenter = unearned + _collateral(terms, state) - toHost;
        if (state.answerBy != 0) {
            state.answerBy = 0;
            balance[state.byAuditor ? terms.auditor : terms.renter] += challengeBond;
        }
        state.status = status;
        balance[terms.renter] += toRenter;
        balance[terms.host] += toHost;
        emit Ended(id, status, toRenter, toHost);
    }

    function _require(bytes32 message, bytes calldata signature, address wanted) private pure {
        if (wanted == address(0) || Terms.signer(message, signature) != wanted) revert BadSignature();
    }

    function _debit(address account, uint256 amount) private {
        uint256 has = balance[account];
        if (amount > has) revert NotCovered(account, has, amount);
        balance[account] = has - amount;
    }

    function _active(StorageContract calldata terms) private view returns (bytes32 id, State storage state) {
        id = digest(terms);
        state = _states[id];
        if (state.status != Status.Active) revert WrongStatus(state.status);
    }

    /// @dev The epoch whose proof is under way, and the block that was chosen for it.
    function _chosen(bytes32 id, State storage state, StorageContract calldata terms)
        private
        view
        returns (uint256 epoch, uint256 index)
    {
        if (state.attempt == 0) revert NothingThere();
        epoch = state.attempt - 1;
        if (Bits.has(state.paid, epoch)) revert NothingThere();
        uint256 seedBlock = state.seedBlock;
        if (block.number <= seedBlock) revert SeedNotYet(seedBlock);
        bytes32 seed = blockhash(seedBlock);
        if (seed == 0) revert SeedLost(seedBlock);
        index = uint256(keccak256(abi.encode(seed, id))) % Bep52.blocks(terms.length);
    }

    function _closableAt(StorageContract calldata terms, State storage state) private view returns (uint256) {
        uint256 end = terms.end(state.epochs);
        return state.paid & Bits.first(state.epochs) == Bits.first(state.epochs) ? end : end + terms.epochLength;
    }

    /// @dev What is left of the collateral after the fee of an exit, which is none where the contract runs to its end.
    function _collateral(StorageContract calldata terms, State storage state) private view returns (uint256) {
        return terms.collateral - terms.exitFee(state.epochs);
    }

    // --- views -----------------------------------------------------------------------------------------------------

    /// @notice What is known about a contract. `paid`: bit e is epoch e.
    function stateOf(bytes32 id) external view returns (State memory) {
        return _states[id];
    }

    /// @notice What `prove` would have to show now, or why it could not be shown.
    function chosen(StorageContract calldata terms) external view returns (uint256 epoch, uint256 index) {
        (bytes32 id, State storage state) = _active(terms);
        return _chosen(id, state, terms);
    }

    /// @notice When `close` is possible, as things stand.
    function closableAt(StorageContract calldata terms) external view returns (uint256) {
        (, State storage state) = _active(terms);
        return _closableAt(terms, state);
    }

    /// @notice EIP-712 domain separator. The chain id is taken modulo 2^32, because the TVM's `block.chainid` is the
    /// whole genesis block id on some networks and its last four bytes on others.
    function domainSeparator() public view returns (bytes32) {
        return Terms.domain(block.chainid & 0xffffffff, address(this));
    }

    /// @notice The contract's id: what both sides sign.
    function digest(StorageContract calldata terms) public view returns (bytes32) {
        return terms.id(domainSeparator());
    }

    /// @notice What renter or auditor sign in a voucher.
    function voucherDigest(bytes32 id, uint32 throughEpoch) public view returns (bytes32) {
        return Terms.message(domainSeparator(), Terms.VOUCHER, id, throughEpoch);
    }

    /// @notice What both sides sign to cancel.
    function cancelDigest(bytes32 id, uint32 throughEpoch) public view returns (bytes32) {
        return Terms.message(domainSeparator(), Terms.CANCEL, id, throughEpoch);
    }
}
