// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Clones} from "@openzeppelin/contracts/proxy/Clones.sol";
import {ERC1967Utils} from "@openzeppelin/contracts/proxy/ERC1967/ERC1967Utils.sol";
import {Proxy} from "@openzeppelin/contracts/proxy/Proxy.sol";

/// @title What a BTFS vault is at its address: a proxy whose logic the factory's caller has chosen.
contract BtfsProxyDouble is Proxy {
    function init(address logic, bytes calldata data) external payable {
        require(_implementation() == address(0), "already initialized");
        ERC1967Utils.upgradeToAndCall(logic, data);
    }

    receive() external payable {
        _fallback();
    }

    function _implementation() internal view override returns (address) {
        return ERC1967Utils.getImplementation();
    }
}

/// @title Test double of BTFS's vault factory.
/// @notice Same interface and the same layers (clone, proxy, logic), so gas is comparable; written anew, for tests alone.
/// Like the original it takes any logic and any initial call from anybody: that a vault is listed in
/// `deployedContracts` says nothing about its code, its token or its issuer.
contract BtfsFactoryDouble {
    mapping(address vault => bool) public deployedContracts;
    mapping(string peerId => address) public peerVaultAddress;
    address public immutable master;
    address public immutable TokenAddress;

    event VaultDeployed(address issuer, address contractAddress, string id);

    constructor(address token) {
        TokenAddress = token;
        master = address(new BtfsProxyDouble());
    }

    function deployVault(address issuer, address logic, bytes32 salt, string calldata id, bytes calldata data)
        external
        returns (address vault)
    {
        require(peerVaultAddress[id] == address(0), "vault already created");
        vault = Clones.cloneDeterministic(master, keccak256(abi.encode(msg.sender, salt)));
        BtfsProxyDouble(payable(vault)).init(logic, data);
        deployedContracts[vault] = true;
        peerVaultAddress[id] = vault;
        emit VaultDeployed(issuer, vault, id);
    }
}
