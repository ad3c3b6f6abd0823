// A script for `hardhat run`: Hardhat's own ethers, its signers, and the devnet as a network.
// Prints one line of JSON with what it saw.

const { readFileSync } = require("node:fs");
const hre = require("hardhat");

const devnet = JSON.parse(process.env.DEVNET);
const artifact = (name) => JSON.parse(readFileSync(`${devnet.artifacts}/${name}.json`, "utf8"));

async function main() {
  const { provider } = hre.ethers;
  const facts = { network: [hre.network.name, await hre.network.provider.send("eth_chainId")] };
  const [alice, bob] = await hre.ethers.getSigners();
  await provider.send("bttnode_faucet", [alice.address]);

  const { abi, bytecode } = artifact("TestBTT");
  const token = await (await hre.ethers.getContractFactory(abi, bytecode)).deploy("Another", "ANO");
  await token.waitForDeployment();
  facts.symbol = await token.symbol();
  const receipt = await (await token.mint(bob.address, 5n)).wait();
  facts.minted = [receipt.status, receipt.type, (await token.balanceOf(bob.address)).toString()];
  facts.queried = (await token.queryFilter("Transfer", 0)).length;

  const vault = await hre.ethers.getContractAt(artifact("ChequeVault").abi, devnet.vault);
  facts.reason = await vault.giveNotice.staticCall(1).catch((error) => vault.interface.parseError(error.data).name);
  facts.refused = await token.transfer(bob.address, 1n).catch((error) => token.interface.parseError(error.data).name);

  const snapshot = await provider.send("evm_snapshot", []);
  await provider.send("hardhat_mine", ["0x5", "0xa"]);
  await provider.send("hardhat_setNonce", [bob.address, "0x9"]);
  facts.nonce = await bob.getNonce();
  facts.reverted = [await provider.send("evm_revert", [snapshot]), await bob.getNonce()];
  console.log(JSON.stringify(facts));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
