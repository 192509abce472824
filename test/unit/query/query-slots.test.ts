import { expect, test } from 'vitest'
import { QuerySlots } from '../../../src/query/query-slots.ts'

const never = new AbortController().signal

test('slots are given in the order they were asked for', async () => {
  const slots = new QuerySlots(1, 10)
  const order: number[] = []
  const giveBack = await slots.take(never)
  const others = [1, 2, 3].map(async (n) => {
    const give = await slots.take(never)
    order.push(n)
    give()
  })
  expect(order).toEqual([])
  giveBack()
  await Promise.all(others)
  expect(order).toEqual([1, 2, 3])
  const again = await slots.take(never)
  again()
})

test('who is aborted leaves the queue, and a full queue refuses', async () => {
  const slots = new QuerySlots(1, 1)
  const giveBack = await slots.take(never)
  const controller = new AbortController()
  const waiting = slots.take(controller.signal)
  await expect(slots.take(never)).rejects.toMatchObject({ code: 'queue_full' })
  controller.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  const next = slots.take(never)
  giveBack()
  ;(await next)()
})

test('tell how many are taken and how many wait, whenever that changes', async () => {
  const told: string[] = []
  const slots = new QuerySlots(1, 10, (running, waiting) => told.push(`${running}+${waiting}`))
  const giveBack = await slots.take(never)
  const controller = new AbortController()
  const aborted = slots.take(controller.signal)
  const next = slots.take(never)
  controller.abort(new Error('enough'))
  await expect(aborted).rejects.toThrow('enough')
  giveBack()
  ;(await next)()
  expect(told).toEqual(['1+0', '1+1', '1+2', '1+1', '1+0', '0+0'])
})
