/* SPDX-License-Identifier: MIT */
/*
 * A small load for Node.js: parse and build JSON, fill and drop caches, move buffers, in the main
 * thread and in two workers that are started three times over, each with a heap of its own.
 */
'use strict';
const { Worker, isMainThread, workerData } = require('worker_threads');
const crypto = require('crypto');
const zlib = require('zlib');

const ROUNDS = 3;
const WORKERS = 2;

let state = 1;
function random(limit) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % limit;
}

function record(id) {
    const tags = [];
    for (let i = 0; i < 8; i++)
        tags.push('tag-' + random(1000).toString(36));
    return { id, name: 'record ' + id, tags, values: Array.from({ length: 16 }, () => random(1e6)) };
}

function work(seed, requests) {
    state = seed;
    const cache = new Map();
    let bytes = 0;
    for (let i = 0; i < requests; i++) {
        const text = JSON.stringify([record(i), record(i + 1)]);
        cache.set(random(20000), JSON.parse(text));
        if (i % 50 === 0)
            bytes += zlib.gzipSync(Buffer.from(text.repeat(20))).length;
        if (i % 200 === 0) {
            const buffer = Buffer.alloc(65536 + random(1 << 20), i);
            bytes += crypto.createHash('sha256').update(buffer).digest().length;
        }
        if (i % 15000 === 14999)
            cache.clear();
    }
    return bytes;
}

function round(number) {
    const workers = [];
    for (let i = 0; i < WORKERS; i++) {
        const worker = new Worker(__filename, { workerData: 1000 * number + i });
        workers.push(new Promise((resolve, reject) => worker.on('exit', resolve).on('error', reject)));
    }
    work(number + 7, 20000);
    return Promise.all(workers);
}

async function main() {
    for (let number = 0; number < ROUNDS; number++)
        await round(number);
    console.log('done');
}

if (isMainThread)
    main();
else
    work(workerData + 1, 15000);
