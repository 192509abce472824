/** A file that is read into the same few buffers again and again. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { PASSING_CHUNKS, openInput } from '../../../src/cli/input/input-file.ts'
import { temporaryDirectory } from '../../support/temporary-directory.ts'

const MIB = 1024 * 1024
/** No two places of it are alike. */
const CONTENT = Buffer.from(
  Uint32Array.from({ length: 9 * (MIB / 4) + 5 }, (_, index) => index).buffer,
)

test.each([
  ['a file', CONTENT],
  ['a file that is compressed', gzipSync(CONTENT, { level: 1 })],
])('%s comes whole, and each chunk holds for as long as is said', async (_name, stored) => {
  const path = join(await temporaryDirectory(), 'input')
  writeFileSync(path, stored)
  const input = await openInput(path)
  const held: Uint8Array[] = []
  let position = 0
  for await (const chunk of input.passingBytes()) {
    held.push(chunk)
    if (held.length < PASSING_CHUNKS) continue
    const oldest = held.shift() ?? new Uint8Array(0)
    expect(CONTENT.subarray(position, position + oldest.length).equals(oldest)).toBe(true)
    position += oldest.length
  }
  expect(Buffer.concat(held).equals(CONTENT.subarray(position))).toBe(true)
  expect(input.bytesRead()).toBe(stored.length)
  input.close()
})

test('a file that is closed while it is read does not look as if it ended', async () => {
  const path = join(await temporaryDirectory(), 'input')
  writeFileSync(path, CONTENT)
  const input = await openInput(path)
  const reading = (async () => {
    for await (const _chunk of input.passingBytes()) input.close()
  })()
  await expect(reading).rejects.toThrow('cannot be read')
})
