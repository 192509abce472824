/** What goes on beside the senders: a reader that takes nothing, one that follows, and the memory of the server. */
import { readFileSync } from 'node:fs'
import { type Socket, connect as connectSocket } from 'node:net'
import { type Timer, systemClock } from '../../../src/base/clock.ts'
import { isStratalogError } from '../../../src/base/errors.ts'
import { connect } from '../../../src/client/index.ts'
import type { Answers } from './sender.ts'

/** Asks for all of a log and what follows, and reads none of it; once it is cut off it asks again. */
export class StoppedReader {
  readonly #port: number
  readonly #log: string
  #socket: Socket
  #isOver = false

  constructor(url: string, log: string) {
    this.#port = Number(new URL(url).port)
    this.#log = log
    this.#socket = this.#ask()
  }

  stop(): void {
    this.#isOver = true
    this.#socket.destroy()
  }

  #ask(): Socket {
    const socket = connectSocket(this.#port, '127.0.0.1')
    socket.pause()
    socket.on('error', () => {})
    socket.on('close', () => {
      if (!this.#isOver) this.#socket = this.#ask()
    })
    socket.write(`GET /v1/logs/${this.#log}/records?live=true HTTP/1.1\r\nhost: localhost\r\n\r\n`)
    return socket
  }
}

/** Follows a log from its start; every offset has to come, once and in order. */
export class Follower {
  next = 0
  failure: string | null = null
  readonly #ender = new AbortController()
  readonly #following: Promise<void>

  constructor(url: string, log: string, answers: Answers) {
    this.#following = this.#follow(url, log, answers)
  }

  async stop(): Promise<void> {
    this.#ender.abort()
    await this.#following
  }

  async #follow(url: string, log: string, answers: Answers): Promise<void> {
    const { signal } = this.#ender
    try {
      const db = await connect(url, { fetch: answers.fetch, signal })
      for await (const { baseOffset, length } of db.log(log).read({ live: true, signal })) {
        if (baseOffset !== this.next) throw new Error(`offset ${baseOffset} came, not ${this.next}`)
        this.next = baseOffset + length
      }
    } catch (error) {
      if (!isStratalogError(error) || error.code !== 'aborted') this.failure = String(error)
    }
  }
}

/** The resident memory of a process, looked at again and again. */
export class MemoryWatch {
  readonly #pid: number
  readonly #samples: number[] = []
  #timer: Timer | null = null

  constructor(pid: number) {
    this.#pid = pid
  }

  start(eachMs: number): void {
    this.#samples.push(rssOf(this.#pid))
    this.#timer = systemClock.setTimer(eachMs, () => this.start(eachMs))
  }

  stop(): void {
    this.#timer?.cancel()
  }

  get max(): number {
    return Math.max(...this.#samples)
  }

  /** The mean of a part of the samples, from 0 to 1. */
  mean(from: number, to: number): number {
    const { length } = this.#samples
    const part = this.#samples.slice(Math.floor(from * length), Math.ceil(to * length))
    return part.reduce((sum, bytes) => sum + bytes, 0) / Math.max(1, part.length)
  }
}

function rssOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
}
