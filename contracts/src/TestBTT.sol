// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A stand-in for BTT on local and test chains: 18 decimals, and anybody may mint.
contract TestBTT is ERC20 {
    constructor(string memory name_, string memory symbol_) ERC20(name_, symbol_) {}

    /// @notice Create `amount` units for `to`. Open to everybody on purpose: this token is worth nothing.
    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}
