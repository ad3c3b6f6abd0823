// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

/// @dev What renter and host sign. `root`, `length`: of the shard, by BEP 52. `payee` gets what the host earns;
/// `auditor` may vouch and challenge beside the renter (0: nobody). Epoch e is [start + e * epochLength, start + (e +
/// 1) * epochLength) in Unix seconds. `nonce` tells two contracts with the same terms apart.
struct StorageContract {
    bytes32 root;
    uint64 length;
    address renter;
    address host;
    address payee;
    address auditor;
    uint64 start;
    uint32 epochs;
    uint32 epochLength;
    uint256 pricePerEpoch;
    uint256 collateral;
    uint256 nonce;
}

/// @title The terms of a storage contract: what they may be, what they mean in time, and how they are signed.
library Terms {
    /// @notice What about the terms cannot be.
    enum Flaw {
        Length,
        Payee,
        Start,
        Epochs,
        Term,
        Amounts
    }

    /// @notice The most epochs of a contract: one bit each.
    uint256 internal constant MAX_EPOCHS = 256;
    /// @notice The longest term, and the longest wait for its start, in seconds.
    uint256 internal constant MAX_TERM = 5 * 365 days;

    bytes32 internal constant VOUCHER = keccak256("Voucher(bytes32 id,uint32 throughEpoch)");
    bytes32 internal constant CANCEL = keccak256("Cancel(bytes32 id,uint32 throughEpoch)");
    bytes32 private constant CONTRACT = keccak256(
        "StorageContract(bytes32 root,uint64 length,address renter,address host,address payee,address auditor,"
        "uint64 start,uint32 epochs,uint32 epochLength,uint256 pricePerEpoch,uint256 collateral,uint256 nonce)"
    );
    bytes32 private constant DOMAIN_TYPE =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant DOMAIN_NAME = keccak256("bttnode StorageMarket");
    bytes32 private constant DOMAIN_VERSION = keccak256("1");

    error BadTerms(Flaw flaw);

    /// @notice Reverts with `BadTerms` for terms that could lock money for ever or lose it, or overflow.
    function check(StorageContract calldata terms) internal view {
        if (terms.length == 0) revert BadTerms(Flaw.Length);
        if (terms.payee == address(0) || terms.payee == address(this)) revert BadTerms(Flaw.Payee);
        if (terms.epochs == 0 || terms.epochs > MAX_EPOCHS) revert BadTerms(Flaw.Epochs);
        uint256 term = uint256(terms.epochs) * terms.epochLength;
        if (term == 0 || term > MAX_TERM) revert BadTerms(Flaw.Term);
        if (terms.start > block.timestamp + MAX_TERM) revert BadTerms(Flaw.Start);
        // So that sums and products of a contract's amounts stay far below 256 bits.
        if (terms.pricePerEpoch > type(uint128).max || terms.collateral > type(uint128).max) {
            revert BadTerms(Flaw.Amounts);
        }
    }

    /// @notice How many epochs have begun, those that would lie beyond the end counted too; 0 before the start.
    function begun(StorageContract calldata terms) internal view returns (uint256) {
        if (block.timestamp < terms.start) return 0;
        return (block.timestamp - terms.start) / terms.epochLength + 1;
    }

    /// @notice When the first `epochs` epochs are over.
    function end(StorageContract calldata terms, uint256 epochs) internal pure returns (uint256) {
        return terms.start + epochs * terms.epochLength;
    }

    /// @notice What an exit after `epochs` epochs costs the host: half of the share of its collateral that belongs to
    /// the epochs it does not serve, rounded down.
    function exitFee(StorageContract calldata terms, uint256 epochs) internal pure returns (uint256) {
        return terms.collateral * (terms.epochs - epochs) / (2 * uint256(terms.epochs));
    }

    /// @notice EIP-712 domain separator.
    function domain(uint256 chainId, address market) internal pure returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPE, DOMAIN_NAME, DOMAIN_VERSION, chainId, market));
    }

    /// @notice The contract's id: the digest of its terms under `separator`.
    function id(StorageContract calldata terms, bytes32 separator) internal pure returns (bytes32) {
        return MessageHashUtils.toTypedDataHash(separator, keccak256(abi.encode(CONTRACT, terms)));
    }

    /// @notice The digest of a voucher or a cancellation, which is `kind`.
    function message(bytes32 separator, bytes32 kind, bytes32 id_, uint256 throughEpoch)
        internal
        pure
        returns (bytes32)
    {
        return MessageHashUtils.toTypedDataHash(separator, keccak256(abi.encode(kind, id_, throughEpoch)));
    }

    /// @notice Who signed, with 65 bytes r, s, v and s in the lower half of the order; the zero address for nobody.
    /// Keys sign, contracts do not.
    function signer(bytes32 message_, bytes calldata signature) internal pure returns (address who) {
        (who,,) = ECDSA.tryRecover(message_, signature);
    }
}
