// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title Test double of BTFS's vault, first generation: WBTT only.
/// @notice Same functions, events, signed type and refusals as the vaults on BTTC; written anew, for tests alone. A
/// cheque that is not covered is paid as far as the money goes, and the vault is marked as one that bounced.
contract BtfsVaultDouble {
    bytes32 private constant _DOMAIN_TYPE = keccak256("EIP712Domain(string name,string version,uint256 chainId)");
    bytes32 private constant _CHEQUE_TYPE =
        keccak256("Cheque(address vault,address beneficiary,uint256 cumulativePayout)");

    IERC20 public token;
    mapping(address beneficiary => uint256) public paidOut;
    uint256 public totalPaidOut;
    address public issuer;
    bool public bounced;

    event ChequeCashed(
        address indexed beneficiary,
        address indexed recipient,
        address indexed caller,
        uint256 totalPayout,
        uint256 cumulativePayout,
        uint256 callerPayout
    );
    event ChequeBounced();
    event VaultDeposit(address indexed from, uint256 amount);
    event VaultWithdraw(address indexed from, uint256 amount);

    /// @notice Called once, by the factory in the transaction that creates the vault.
    function init(address issuer_, address token_) external {
        require(issuer_ != address(0), "invalid issuer");
        require(issuer == address(0), "already initialized");
        issuer = issuer_;
        token = IERC20(token_);
    }

    function deposit(uint256 amount) external {
        require(token.transferFrom(msg.sender, address(this), amount), "deposit failed");
        emit VaultDeposit(msg.sender, amount);
    }

    /// @notice The issuer may take money back at any time; nothing is reserved for cheques.
    function withdraw(uint256 amount) external {
        require(msg.sender == issuer, "not issuer");
        require(amount <= totalbalance(), "totalbalance not sufficient");
        require(token.transfer(issuer, amount), "transfer failed");
        emit VaultWithdraw(issuer, amount);
    }

    function cashChequeBeneficiary(address recipient, uint256 cumulativePayout, bytes calldata issuerSig) external {
        _checkSigned(
            keccak256(abi.encode(_CHEQUE_TYPE, address(this), msg.sender, cumulativePayout)), issuerSig
        );
        uint256 paid = paidOut[msg.sender];
        require(cumulativePayout > paid, "Vault: cannot cash");
        uint256 due = cumulativePayout - paid;
        uint256 payout = _cover(due, totalbalance());
        paidOut[msg.sender] = paid + payout;
        totalPaidOut += payout;
        if (payout < due) {
            bounced = true;
            emit ChequeBounced();
        }
        require(token.transfer(recipient, payout), "transfer failed");
        emit ChequeCashed(msg.sender, recipient, msg.sender, payout, cumulativePayout, 0);
    }

    function totalbalance() public view returns (uint256) {
        return token.balanceOf(address(this));
    }

    /// @dev What is paid of `due` when the vault holds `held`.
    function _cover(uint256 due, uint256 held) internal view virtual returns (uint256) {
        return due < held ? due : held;
    }

    /// @dev The issuer's own transactions need no signature. The domain has no verifying contract: the vault is a field.
    function _checkSigned(bytes32 structHash, bytes calldata signature) internal view {
        if (msg.sender == issuer) return;
        bytes32 domain = keccak256(abi.encode(_DOMAIN_TYPE, keccak256("Vault"), keccak256("1.0"), block.chainid));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, structHash));
        require(ECDSA.recover(digest, signature) == issuer, "invalid issuer signature");
    }
}
