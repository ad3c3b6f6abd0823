// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

/// @title Who rents out disk, and where to ask it.
///
/// @notice Theory of operation.
///
/// A host puts down a stake and announces where its API is, which address signs for it there, and which price table is
/// in force. Announcements are events, so renters find hosts by reading this contract's log; only the stake is state. A
/// stake makes names dear: a thousand hosts cost a thousand stakes, all of them idle for as long as they are listed.
///
/// Nobody can take a stake away. What a host owes a renter is secured by the collateral of their contract in
/// `StorageMarket`, whose amount they agreed on; were the stake liable too, one renter's loss would be paid with what
/// the others look at, and this contract would have to trust the market's code with everybody's stakes.
///
/// A host leaves by `beginExit`, from which moment it is not listed, and takes its stake back after `noticePeriod`, so
/// that a name cannot be worn for an hour. It may change its mind in between.
contract HostRegistry is ReentrancyGuard {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;

    /// @dev One slot. `leavesAt` is 0 for a host that is listed or was never here.
    struct Host {
        uint192 stake;
        uint64 leavesAt;
    }

    uint256 public constant MAX_ENDPOINT = 256;

    /// @notice The token of all stakes.
    IERC20 public immutable token;

    /// @notice What a host must have put down to announce itself.
    uint256 public immutable minStake;

    /// @notice Seconds between `beginExit` and `withdraw`.
    uint256 public immutable noticePeriod;

    mapping(address host => Host) private _hosts;

    event Staked(address indexed host, uint256 amount, uint256 total);
    /// @dev The latest one counts. `signer` signs for the host's API; `priceTable` is the hash of the table, or 0.
    event Announced(address indexed host, address indexed signer, string endpoint, bytes32 priceTable);
    event ExitBegun(address indexed host, uint256 leavesAt);
    /// @dev The last announcement counts again.
    event ExitCancelled(address indexed host);
    event Withdrawn(address indexed host, address indexed to, uint256 amount);

    error BadAddress(address given);
    error BadNoticePeriod(uint256 given);
    error BadEndpoint(uint256 length);
    error StakeTooSmall(uint256 stake, uint256 needed);
    error NothingThere();
    error Leaving(uint256 leavesAt);
    error NotLeaving();
    error NotYet(uint256 leavesAt);

    constructor(IERC20 token_, uint256 minStake_, uint256 noticePeriod_) {
        if (address(token_) == address(0)) revert BadAddress(address(token_));
        if (noticePeriod_ > 365 days) revert BadNoticePeriod(noticePeriod_);
        token = token_;
        minStake = minStake_;
        noticePeriod = noticePeriod_;
    }

    /// @notice Stake `amount` more and announce, in one call. The registry needs an allowance.
    function register(uint256 amount, address signer, string calldata endpoint, bytes32 priceTable) external {
        stake(amount);
        announce(signer, endpoint, priceTable);
    }

    /// @notice Put `amount` more down for the caller. What arrives counts, not what was sent.
    function stake(uint256 amount) public nonReentrant {
        Host storage host = _listed();
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 arrived = token.balanceOf(address(this)) - before;
        if (arrived == 0) revert NothingThere();
        uint256 total = host.stake + arrived;
        host.stake = total.toUint192();
        emit Staked(msg.sender, arrived, total);
    }

    /// @notice Say, or say anew, where the caller's API is. `endpoint`: a URL of 1 to 256 bytes.
    function announce(address signer, string calldata endpoint, bytes32 priceTable) public {
        uint256 staked = _listed().stake;
        if (staked == 0 || staked < minStake) revert StakeTooSmall(staked, minStake);
        if (signer == address(0)) revert BadAddress(signer);
        uint256 length = bytes(endpoint).length;
        if (length == 0 || length > MAX_ENDPOINT) revert BadEndpoint(length);
        emit Announced(msg.sender, signer, endpoint, priceTable);
    }

    /// @notice Leave the list now, and be able to `withdraw` after the notice period.
    function beginExit() external {
        Host storage host = _listed();
        if (host.stake == 0) revert NothingThere();
        uint256 leavesAt = block.timestamp + noticePeriod;
        host.leavesAt = leavesAt.toUint64();
        emit ExitBegun(msg.sender, leavesAt);
    }

    function cancelExit() external {
        Host storage host = _hosts[msg.sender];
        if (host.leavesAt == 0) revert NotLeaving();
        host.leavesAt = 0;
        emit ExitCancelled(msg.sender);
    }

    /// @notice Take the whole stake out to `to`, once the notice period has passed. The host may come back as a new
    /// one.
    function withdraw(address to) external nonReentrant returns (uint256 amount) {
        if (to == address(0) || to == address(this)) revert BadAddress(to);
        Host memory host = _hosts[msg.sender];
        if (host.leavesAt == 0) revert NotLeaving();
        if (block.timestamp < host.leavesAt) revert NotYet(host.leavesAt);
        delete _hosts[msg.sender];
        amount = host.stake;
        emit Withdrawn(msg.sender, to, amount);
        token.safeTransfer(to, amount);
    }

    /// @notice What a host has put down, and when it may take it: `leavesAt` 0 for one that is not leaving.
    function hostOf(address host) external view returns (uint256 staked, uint256 leavesAt) {
        return (_hosts[host].stake, _hosts[host].leavesAt);
    }

    /// @dev The caller's record, unless it is leaving.
    function _listed() private view returns (Host storage host) {
        host = _hosts[msg.sender];
        if (host.leavesAt != 0) revert Leaving(host.leavesAt);
    }
}
