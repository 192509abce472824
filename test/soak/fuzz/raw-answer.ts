/** Sends the bytes of a request over a connection of its own, and takes what comes back. */
import { type Socket, connect } from 'node:net'
import { type Timer, systemClock } from '../../../src/base/clock.ts'
import type { BadRequest } from './bad-requests.ts'

export interface RawAnswer {
  /** 0 where the connection ended without one. */
  readonly status: number
  readonly head: string
  /** Nothing came, and the connection stood open, until the sender gave up. */
  readonly isHung: boolean
}

/** Longer than a server waits for the rest of a head, and than it holds a long poll. */
const GIVES_UP_MS = 60_000
/** What a reader that reads nothing leaves unread. */
const UNREAD_MS = 50
/** After so long without an answer the sender says that it has no more, as one does that goes. */
const LEAVES_MS = 500
const DRIPS = 5
const DRIP_EACH_MS = 10

export function askRaw(
  port: number,
  { bytes, behaviour }: Pick<BadRequest, 'bytes' | 'behaviour'>,
): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    let isHung = false
    let leaving: Timer | null = null
    const timer = systemClock.setTimer(GIVES_UP_MS, () => {
      isHung = text === ''
      socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      timer.cancel()
      leaving?.cancel()
      const head = text.split('\r\n\r\n', 1)[0] ?? ''
      resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0), head, isHung })
    })
    if (behaviour === 'reads nothing') leaveUnread(socket, bytes)
    else {
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString('latin1')
        // The head is all that is looked at; what continues (100) is followed by another.
        if (text.includes('\r\n\r\n') && !text.startsWith('HTTP/1.1 1')) socket.destroy()
      })
      if (behaviour === 'hangs up') socket.write(bytes, () => socket.destroy())
      else if (behaviour === 'drips') void drip(socket, bytes)
      else if (behaviour === 'ends') socket.end(bytes)
      else {
        socket.write(bytes)
        // A long poll that nobody waits for.
        leaving = systemClock.setTimer(LEAVES_MS, () => socket.end())
      }
    }
  })
}

/** In pieces, each a while after the one before. */
async function drip(socket: Socket, bytes: Buffer): Promise<void> {
  const length = Math.ceil(bytes.length / DRIPS)
  for (let from = 0; from < bytes.length && !socket.destroyed; from += length) {
    socket.write(bytes.subarray(from, from + length))
    await systemClock.sleep(DRIP_EACH_MS)
  }
  socket.end()
}

function leaveUnread(socket: Socket, bytes: Buffer): void {
  socket.pause()
  socket.write(bytes, () => systemClock.setTimer(UNREAD_MS, () => socket.destroy()))
}
