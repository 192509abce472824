import { expect, test } from 'vitest'
import { RequestReader, requestFrame } from '../../../../src/query/child/column-frames.ts'

test('requests come whole out of a stream that is cut anywhere', () => {
  const requests = [
    { query: 1, reference: 0, positions: [0, 3] },
    { query: 300, reference: 12, positions: [] },
  ]
  const bytes = Buffer.concat(requests.map(requestFrame))
  for (let cut = 0; cut <= bytes.length; cut++) {
    const reader = new RequestReader()
    const found = [...reader.push(bytes.subarray(0, cut)), ...reader.push(bytes.subarray(cut))]
    expect(found).toEqual(requests)
  }
})
