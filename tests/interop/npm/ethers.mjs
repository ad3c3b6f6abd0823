// Unmodified ethers v6 on the BTTC devnet. Prints one line of JSON with what it saw.

import { AbiCoder, Contract, ContractFactory, JsonRpcProvider, Wallet, WebSocketProvider, id, parseEther } from "ethers";

import { artifact, devnet, failure, gate, reverting, tell } from "./devnet.mjs";

const COIN = parseEther("1");
const MANY = 40;

const provider = new JsonRpcProvider(devnet.url, undefined, { pollingInterval: 25, cacheTimeout: -1 });
const socket = new WebSocketProvider(devnet.url.replace("http", "ws"));
const alice = new Wallet(devnet.keys[0], provider);
const bob = new Wallet(devnet.keys[1], provider);
await provider.send("bttnode_faucet", [alice.address]);
const facts = {};

// who is there, and what it costs
const fees = await provider.getFeeData();
facts.network = (await provider.getNetwork()).chainId;
facts.fees = [fees.gasPrice, fees.maxFeePerGas, fees.maxPriorityFeePerGas];
facts.accounts = await provider.send("eth_accounts", []);

// deploy and call
const { abi, bytecode } = artifact("TestBTT");
const deployed = await new ContractFactory(abi, bytecode, alice).deploy("Another", "ANO");
const token = await deployed.waitForDeployment();
const address = await token.getAddress();
facts.deployed = {
  type: deployed.deploymentTransaction().type,
  symbol: await token.symbol(),
  code: (await provider.getCode(address)) === artifact("TestBTT").deployedBytecode,
};
const vault = new Contract(devnet.vault, artifact("ChequeVault").abi, alice);
const vaultArguments = [address, 3600];
const own = await new ContractFactory(vault.interface, artifact("ChequeVault").bytecode, alice).deploy(...vaultArguments);
facts.deployed.notice = await (await own.waitForDeployment()).noticePeriod();

// events: asked for, by filter, and by subscription
const heard = { filter: [], socket: [], blocks: [], pending: [] };
const listened = gate(() => Object.values(heard).every((list) => list.length >= 2));
const listen = (list, item) => {
  list.push(item);
  listened.check();
};
await token.on("Transfer", (_from, _to, value, event) => listen(heard.filter, [value, event.log.transactionHash]));
await token.connect(socket).on("Transfer", (_from, to, value) => listen(heard.socket, [to, value]));
await socket.on("block", (number) => listen(heard.blocks, number));
await socket.on("pending", (hash) => listen(heard.pending, hash));
await Promise.all([provider.getBlockNumber(), socket.getBlockNumber()]); // filter and subscriptions went out before
const minted = await (await token.mint(alice.address, 5n * COIN)).wait();
const moved = await (await token.transfer(bob.address, 2n * COIN)).wait();
await listened.opened;
await socket.removeAllListeners();
await token.removeAllListeners();
facts.heard = heard;
facts.sent = [minted.hash, moved.hash];
facts.queried = (await token.queryFilter(token.filters.Transfer(null, bob.address), 0)).map((log) => log.args.value);
facts.byHash = (await provider.getLogs({ blockHash: moved.blockHash, address })).length;
facts.balance = await token.balanceOf(bob.address);

// reasons
const custom = await failure(vault.giveNotice.staticCall(1));
const estimated = await failure(token.transfer.estimateGas(bob.address, 100n * COIN));
const text = AbiCoder.defaultAbiCoder().encode(["string"], ["not today"]);
const worded = await failure(provider.call({ data: reverting(`${id("Error(string)").slice(2, 10)}${text.slice(2)}`) }));
const inBlock = await failure((await vault.cancelNotice({ gasLimit: 100_000 })).wait());
facts.reasons = {
  custom: [custom.code, custom.revert.name],
  estimated: [estimated.code, token.interface.parseError(estimated.data).name],
  worded: [worded.code, worded.reason],
  inBlock: [inBlock.code, inBlock.receipt.status],
};

// many at once, as raw bytes in one batch: the nonces arrive in order
const first = await alice.getNonce();
const payment = await alice.populateTransaction({ to: bob.address, value: COIN, gasLimit: 21_000 });
const signed = await Promise.all(
  Array.from({ length: MANY }, (_, i) => alice.signTransaction({ ...payment, nonce: first + i })),
);
const many = await Promise.all(signed.map((raw) => provider.broadcastTransaction(raw)));
const receipts = await Promise.all(many.map((sent) => sent.wait()));
facts.many = [receipts.filter((receipt) => receipt.status === 1).length, await provider.getBalance(bob.address)];
const whole = await provider.getBlock(receipts[0].blockNumber, true);
facts.whole = whole.prefetchedTransactions.map((found) => found.hash).includes(receipts[0].hash);

// refusals by their ethers codes
const raw = (changes) =>
  alice
    .populateTransaction({ to: bob.address, gasLimit: 21_000, ...changes })
    .then((filled) => alice.signTransaction(filled))
    .then((signed) => provider.broadcastTransaction(signed));
await provider.send("evm_setAutomine", [false]);
const nonce = await alice.getNonce("pending");
await raw({ nonce });
facts.refused = {
  replaced: (await failure(raw({ nonce, value: 1 }))).code,
  used: (await failure(raw({ nonce: 0 }))).code,
  poor: (await failure(new Wallet(devnet.keys[2], provider).sendTransaction({ to: bob.address, value: 1 }))).code,
  feeHistory: (await failure(provider.send("eth_feeHistory", ["0x1", "latest", []]))).code,
  proof: (await failure(provider.send("eth_getProof", [address, [], "latest"]))).error.message,
};
await provider.send("evm_mine", []);
await provider.send("evm_setAutomine", [true]);

// back in time
const snapshot = await provider.send("evm_snapshot", []);
const before = await provider.getBalance(bob.address);
await provider.send("hardhat_setBalance", [bob.address, "0x7"]);
const poor = await provider.getBalance(bob.address);
await provider.send("evm_revert", [snapshot]);
facts.undone = [poor, (await provider.getBalance(bob.address)) === before];

tell(facts);
provider.destroy();
await socket.destroy();
