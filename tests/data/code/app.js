// The router of the shop.
import { Router as Base, json } from "express";
import fs, * as path from "path";
const util = require("./util");

const LIMIT = 10;

/**
 * Handles an order. It is slow.
 * @param {Order} order
 */
export async function handle(order) {
  const tax = util.taxOf(order);
  return json(new Order(order, tax));
}

export class Shop extends Base {
  #count = 0;

  open = () => {
    handle(this.order);
  };

  get total() {
    return this.#count * LIMIT;
  }
}

Shop.prototype.close = function (reason) {
  fs.close(reason);
};

export { LIMIT };
