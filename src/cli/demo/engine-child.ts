/**
 * The engine under test, in a process of its own so that it can be killed in the middle of a write. Its entry: it obeys
 * the lines on standard input and ends when they end, so that it never outlives the demo.
 */
import process from 'node:process'
import { createInterface } from 'node:readline'
import { toStratalogError } from '../../base/errors.ts'
import { EngineHost } from './engine-host.ts'
import type { AnswerLine, RequestLine } from './protocol.ts'

/** On a pipe this returns when the system has the line, also if the process is killed next. */
function say(line: AnswerLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

// The demo decides when this process ends; an interruption reaches both.
process.on('SIGINT', () => {})

const host = new EngineHost((acked) => say({ kind: 'acked', acked }))
for await (const line of createInterface({ input: process.stdin })) {
  const { call, request } = JSON.parse(line) as RequestLine
  try {
    say({ kind: 'answer', answer: await host.call(call, request as never) })
  } catch (error) {
    const { code, message } = toStratalogError(error)
    say({ kind: 'failed', code, message })
  }
}
process.exit()
