/** Runs the seeds that it is given, one after the other, and prints the hash of each one's trace as JSON. */
import { simulate } from './simulate.ts'

const hashes: Record<string, string> = {}
for (const seed of process.argv.slice(2)) hashes[seed] = (await simulate(Number(seed))).traceHash
process.stdout.write(JSON.stringify(hashes))
