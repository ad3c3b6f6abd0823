// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {BtfsVaultDouble} from "./BtfsVaultDouble.sol";

/// @title Test double of BTFS's vault, current generation: WBTT and any other token.
/// @notice A cheque that is not covered is refused as a whole. `bounced` and `multiTokensBounced` are part of the
/// interface, but no transaction that succeeds ever sets them.
contract BtfsTokenVaultDouble is BtfsVaultDouble {
    bytes32 private constant _TOKEN_CHEQUE_TYPE =
        keccak256("MultiTokenCheque(address token,address vault,address beneficiary,uint256 cumulativePayout)");

    mapping(address token => mapping(address beneficiary => uint256)) public multiTokensPaidOut;
    mapping(address token => uint256) public multiTokensTotalPaidOut;
    mapping(address token => bool) public multiTokensBounced;

    event MultiTokenChequeCashed(
        address token,
        address indexed beneficiary,
        address indexed recipient,
        address indexed caller,
        uint256 totalPayout,
        uint256 cumulativePayout,
        uint256 callerPayout
    );

    /// @notice Cheques of WBTT are cashed by `cashChequeBeneficiary`; BTFS's vault passes them on to it.
    function multiTokenCashChequeBeneficiary(
        address token_,
        address recipient,
        uint256 cumulativePayout,
        bytes calldata issuerSig
    ) external {
        require(token_ != address(token), "double: cash WBTT with cashChequeBeneficiary");
        _checkSigned(
            keccak256(abi.encode(_TOKEN_CHEQUE_TYPE, token_, address(this), msg.sender, cumulativePayout)), issuerSig
        );
        uint256 paid = multiTokensPaidOut[token_][msg.sender];
        require(cumulativePayout > paid, "Vault: cannot cash");
        uint256 payout = _cover(cumulativePayout - paid, totalbalanceOf(token_));
        multiTokensPaidOut[token_][msg.sender] = paid + payout;
        multiTokensTotalPaidOut[token_] += payout;
        require(IERC20(token_).transfer(recipient, payout), "transfer failed");
        emit MultiTokenChequeCashed(token_, msg.sender, recipient, msg.sender, payout, cumulativePayout, 0);
    }

    function totalbalanceOf(address token_) public view returns (uint256) {
        return IERC20(token_).balanceOf(address(this));
    }

    function _cover(uint256 due, uint256 held) internal pure override returns (uint256) {
        require(due <= held, "Vault: insufficient fund");
        return due;
    }
}
