using System;
using Text = System.Text;

namespace Shop.Orders
{
    /// <summary>
    /// One order of a customer.
    /// </summary>
    [Serializable]
    public class Order : Entity, IComparable<Order>
    {
        public const int Most = 5;
        public string Name { get; set; }

        public Order(string name) { Name = name; }

        private int Count(List<Item> items)
        {
            return Helper.Sum(items) + new Counter().Next();
        }
    }

    public interface IStore { void Save(Order order); }

    enum State { Open, Done }
}
