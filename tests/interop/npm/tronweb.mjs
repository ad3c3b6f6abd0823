// Unmodified TronWeb at work on a TRON devnet: `node tronweb.mjs STORY`, with the bench as JSON in BENCH.
// Prints one JSON line with what TronWeb saw; the test judges it.

import { TronWeb } from "tronweb";

const bench = JSON.parse(process.env.BENCH);
const tronWeb = new TronWeb({ fullHost: bench.url, privateKey: bench.alice.key });
const alice = bench.alice.address;
const bob = bench.bob.address;
const { trx, transactionBuilder, utils } = tronWeb;

const devnet = (method, parameters = {}) => tronWeb.fullNode.request(`devnet/${method}`, parameters, "post");
const failure = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return error.message ?? error;
  }
  throw new Error("this should have failed");
};
const reason = (output) => utils.abi.decodeParams(["reason"], ["string"], `0x${output.slice(8)}`).reason;
const info = (id) => trx.getUnconfirmedTransactionInfo(id);

async function sent(transaction, key = bench.alice.key) {
  const result = await trx.sendRawTransaction(await trx.sign(transaction, key));
  if (!result.result) throw new Error(`${result.code}: ${tronWeb.toUtf8(result.message)}`);
  return result;
}

async function deployed(artifact, parameters = []) {
  const transaction = await transactionBuilder.createSmartContract(
    {
      abi: artifact.abi,
      bytecode: artifact.bytecode,
      parameters,
      feeLimit: bench.feeLimit,
      userFeePercentage: 100,
      originEnergyLimit: 10_000_000,
      name: artifact.name,
    },
    alice,
  );
  const { txid } = await sent(transaction);
  return { contract: await tronWeb.contract().at(transaction.contract_address), receipt: await info(txid) };
}

const stories = {
  async transfers() {
    const before = await trx.getUnconfirmedBalance(bob);
    const payment = await trx.sendTransaction(bob, 1_500_000);
    const token = await trx.sendToken(bob, 400, bench.asset);
    const opened = await sent(await transactionBuilder.createAccount(bench.nobody.address, alice));
    const staked = await sent(await transactionBuilder.freezeBalanceV2(1_000_000, "ENERGY", alice));
    const account = await trx.getUnconfirmedAccount(bob);
    return {
      gained: (await trx.getUnconfirmedBalance(bob)) - before,
      sameId: payment.txid === payment.transaction.txID,
      found: (await trx.getTransaction(payment.txid)).txID === payment.txid,
      fee: (await info(token.txid)).fee ?? 0,
      assets: account.assetV2,
      opened: (await trx.getUnconfirmedAccount(bench.nobody.address)).address,
      openingFee: (await info(opened.txid)).fee,
      staked: (await trx.getUnconfirmedAccount(alice)).frozenV2,
      stakeReceipt: (await info(staked.txid)).receipt,
      resources: await trx.getAccountResources(alice),
      named: await trx.getTokenByID(bench.asset),
      byName: (await trx.getTokenFromID(bench.asset)).abbr,
      listed: (await trx.listTokens()).map(({ id }) => id),
      parameters: await trx.getChainParameters(),
      connected: await tronWeb.isConnected(),
    };
  },

  // What the node builds must be what TronWeb builds of the same fields, to the last byte of its id.
  async built() {
    const { txCheck } = utils.transaction;
    await sent(await transactionBuilder.freezeBalanceV2(1_000_000, "ENERGY", alice)); // for one to be undone
    const checked = {};
    for (const [method, parameters] of Object.entries(bench.requests)) {
      const answer = await tronWeb.fullNode.request(`wallet/${method}`, parameters, "post");
      const transaction = answer.transaction ?? answer;
      checked[method] = transaction.txID ? txCheck(transaction) : answer;
      const hexId = utils.ethersUtils.sha256(`0x${transaction.raw_data_hex}`).slice(2);
      if (hexId !== transaction.txID) checked[method] = "id is not the hash of raw_data";
    }
    return checked;
  },

  async token() {
    const { contract, receipt } = await deployed(bench.token, ["Token", "TOK"]);
    const address = tronWeb.address.fromHex(contract.address);
    await contract.mint(alice, 5_000n).send({ feeLimit: bench.feeLimit });
    const ids = [];
    for (const amount of [1, 2, 3]) ids.push(await contract.transfer(bob, amount).send({ feeLimit: bench.feeLimit }));
    await devnet("mine");
    const polled = await contract.transfer(bob, 4).send({ feeLimit: bench.feeLimit, shouldPollResponse: false });
    const all = await tronWeb.event.getEventsByContractAddress(address, { eventName: "Transfer", limit: 3 });
    const rest = await tronWeb.event.getEventsByContractAddress(address, {
      eventName: "Transfer",
      limit: 3,
      fingerprint: all.meta.fingerprint,
    });
    const confirmed = await tronWeb.event.getEventsByContractAddress(address, {
      onlyConfirmed: true,
      orderBy: "block_timestamp,asc",
    });
    const estimate = await transactionBuilder.estimateEnergy(
      address,
      "transfer(address,uint256)",
      {},
      [
        { type: "address", value: bob },
        { type: "uint256", value: 1 },
      ],
      alice,
    );
    return {
      receipt,
      symbol: await contract.symbol().call(),
      balances: [String(await contract.balanceOf(alice).call()), String(await contract.balanceOf(bob).call())],
      transfer: await info(ids[0]),
      pages: [all.data.map(({ result }) => result.value), rest.data.map(({ result }) => result.value)],
      newest: all.data[0],
      polled,
      confirmed: confirmed.data.map(({ result }) => result.value),
      ofTransaction: (await tronWeb.event.getEventsByTransactionID(ids[0])).data,
      ofBlock: (await tronWeb.event.getEventsOfLatestBlock()).data.length,
      next: all.meta.links.next,
      estimate,
    };
  },

  async failures() {
    const { contract } = await deployed(bench.failing);
    const address = tronWeb.address.fromHex(contract.address);
    const reverted = await contract.fail().send({ feeLimit: bench.feeLimit });
    const exhausted = await contract.loop().send({ feeLimit: 3_000_000 });
    const payment = await transactionBuilder.sendTrx(bob, 1, alice);
    const signed = await trx.sign(payment, bench.alice.key);
    const forged = { ...payment, signature: [utils.crypto.signTransaction(bench.bob.key, payment).signature[0]] };
    const late = await trx.sign(await transactionBuilder.sendTrx(bob, 2, alice), bench.alice.key);
    const foreign = await trx.sign(
      await transactionBuilder.sendTrx(bob, 3, alice, {
        blockHeader: { ref_block_bytes: "0001", ref_block_hash: "77".repeat(8), expiration: Date.now() + 60_000, timestamp: 1 },
      }),
      bench.alice.key,
    );
    const code = async (transaction) => (await trx.sendRawTransaction(transaction)).code ?? "SUCCESS";
    const codes = {
      forged: await code(forged),
      foreign: await code(foreign),
      first: await code(signed),
      again: await code(signed),
      rich: await code(await trx.sign(await transactionBuilder.sendTrx(bob, 1e15, alice), bench.alice.key)),
    };
    await devnet("time", { seconds: 120 });
    const call = { owner_address: tronWeb.defaultAddress.hex, contract_address: contract.address, function_selector: "check()" };
    const constant = await tronWeb.fullNode.request("wallet/triggerconstantcontract", call, "post");
    const failed = await info(reverted);
    return {
      called: await failure(contract.check().call()),
      reasons: [constant.constant_result[0], failed.contractResult[0]].map(reason),
      reverted: failed,
      exhausted: await info(exhausted),
      estimated: await failure(transactionBuilder.estimateEnergy(address, "fail()", {}, [], alice)),
      unknown: await failure(tronWeb.contract().at(bench.nobody.address)),
      ...codes,
      late: await code(late),
    };
  },

  async cheque() {
    const token = tronWeb.contract(bench.token.abi, bench.deployment.token);
    const vault = tronWeb.contract(bench.vault.abi, bench.deployment.vault);
    const amount = BigInt(bench.cheque.cumulative);
    await token.approve(bench.deployment.vault, amount * 3n).send({ feeLimit: bench.feeLimit });
    await vault.deposit(amount * 3n).send({ feeLimit: bench.feeLimit });
    const before = await token.balanceOf(bob).call();
    const cheques = [[[alice, bob, amount], bench.cheque.r, bench.cheque.vs]];
    tronWeb.setPrivateKey(bench.bob.key);
    const method = vault.methodInstances["cashMany"];
    const { energy_required: energy } = await transactionBuilder.estimateEnergy(
      bench.deployment.vault,
      method.functionSelector,
      { funcABIV2: method.abi, parametersV2: [cheques, bob] },
      [],
      bob,
    );
    const id = await vault.cashMany(cheques, bob).send({ feeLimit: energy * 100 });
    const events = await tronWeb.event.getEventsByContractAddress(bench.deployment.vault, { eventName: "Cashed" });
    return {
      energy,
      receipt: (await info(id)).receipt,
      paid: String((await token.balanceOf(bob).call()) - before),
      left: String(await vault.balance(alice).call()),
      cashed: events.data.map(({ result }) => result),
    };
  },

  async reads() {
    const payment = await trx.sendTransaction(bob, 7);
    await devnet("mine");
    const { raw } = trx;
    const transaction = await trx.sign(await transactionBuilder.sendTrx(bob, 8, alice), bench.alice.key);
    const message = utils.transaction.txJsonToPb(transaction);
    for (const signature of transaction.signature) message.addSignature(Uint8Array.from(Buffer.from(signature, "hex")));
    const broadcast = await trx.sendHexTransaction(Buffer.from(message.serializeBinary()).toString("hex"));
    const block = await trx.getBlock((await trx.getTransactionInfo(payment.txid)).blockNumber);
    return {
      exact: await raw.getBalance(bob),
      number: await trx.getBalance(bob),
      rawInfo: await raw.getUnconfirmedTransactionInfo(payment.txid),
      confirmed: (await trx.getConfirmedTransaction(payment.txid)).txID === payment.txid,
      block: block.transactions.map(({ txID }) => txID),
      byHash: (await trx.getBlock(block.blockID)).blockID === block.blockID,
      range: (await trx.getBlockRange(0, 2)).map((found) => found.block_header.raw_data.number ?? 0),
      current: (await trx.getCurrentBlock()).block_header.raw_data.number,
      broadcast,
      weight: await trx.getSignWeight(transaction),
      approved: await trx.getApprovedList(transaction),
      id: transaction.txID,
      payment: payment.txid,
      prices: [await trx.getEnergyPrices(), await trx.getBandwidthPrices()],
      bandwidth: await trx.getBandwidth(bob),
      nodes: await trx.listNodes(),
    };
  },
};

console.log(JSON.stringify(await stories[process.argv[2]](), (_, value) => (typeof value === "bigint" ? String(value) : value)));
