import { describe, expect, test } from 'vitest'
import { type BadLine, type Line, splitLines } from '../../../src/cli/input/lines.ts'

async function split(
  chunks: readonly (string | Uint8Array)[],
  lineBytesMax?: number,
): Promise<{ lines: readonly Line[]; bad: readonly BadLine[] }> {
  const bytes = (async function* () {
    for (const chunk of chunks) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk
  })()
  const lines = []
  const bad = []
  for await (const block of splitLines(bytes, lineBytesMax === undefined ? {} : { lineBytesMax })) {
    lines.push(...block.lines)
    bad.push(...block.bad)
  }
  return { lines, bad }
}

describe('splitting lines', () => {
  test('numbers every line, also across chunks, and leaves blank ones out', async () => {
    const { lines, bad } = await split(['a\n\nb', 'c\r\n', '\r\nd\n \t\n', '  '])
    expect(lines).toEqual([
      { number: 1, text: 'a' },
      { number: 3, text: 'bc\r' },
      { number: 5, text: 'd' },
    ])
    expect(bad).toEqual([])
  })

  test('gives the same lines however the bytes are cut, also inside a character', async () => {
    const text = Buffer.from('{"é":1}\n{"日本":"😀"}\n\nlast')
    const whole = await split([text])
    for (let size = 1; size <= text.length; size++) {
      const chunks = []
      for (let start = 0; start < text.length; start += size)
        chunks.push(text.subarray(start, start + size))
      expect(await split(chunks)).toEqual(whole)
    }
  })

  test('a byte order mark before the first line is no part of it', async () => {
    expect((await split(['\uFEFFa\n\uFEFFb\n'])).lines.map(({ text }) => text)).toEqual([
      'a',
      '\uFEFFb',
    ])
  })

  test('a line that is not UTF-8 is bad, and those around it are not', async () => {
    const { lines, bad } = await split([
      Buffer.concat([Buffer.from('a\n'), Buffer.of(0xff, 0x0a), Buffer.from('b\n')]),
    ])
    expect(lines.map(({ number, text }) => [number, text])).toEqual([
      [1, 'a'],
      [3, 'b'],
    ])
    expect(bad.map(({ number, reason }) => [number, reason])).toEqual([
      [2, 'the line is not UTF-8'],
    ])
  })

  test('a line above the limit is bad, whether it comes in one chunk or in many', async () => {
    const long = 'x'.repeat(20)
    for (const chunks of [
      [`a\n${long}\nb\n`],
      ['a\n', 'x'.repeat(10), 'x'.repeat(10), '\nb\n'],
      [`a\n`, `${long}\nb`],
    ]) {
      const { lines, bad } = await split(chunks, 16)
      expect(lines.map(({ number, text }) => [number, text])).toEqual([
        [1, 'a'],
        [3, 'b'],
      ])
      expect(bad).toHaveLength(1)
      expect(bad[0]).toMatchObject({
        number: 2,
        reason: 'the line has 20 bytes; at most 16 are taken',
      })
    }
  })

  test('goes on counting behind a block whose lines nobody asks for', async () => {
    const bytes = (async function* () {
      for (const chunk of ['a\n\nb', '\nc\n', '\nd\n']) yield Buffer.from(chunk)
    })()
    const found: unknown[] = []
    for await (const block of splitLines(bytes)) {
      if (Buffer.concat(block.parts ?? []).toString() === 'b\nc\n') block.pass(2)
      else found.push(...block.lines)
    }
    expect(found).toEqual([
      { number: 1, text: 'a' },
      { number: 6, text: 'd' },
    ])
  })
})
